"""Samples a second of PyTorch's DataLoader on the files that `examples/loading.rs` reads: loading.py FOLDER TABLE.csv"""
import gzip, sys, time
import numpy, torch
from torch.utils.data import DataLoader, TensorDataset

def report(what, samples, start):
    seconds = time.time() - start
    print(f"{what:24} {samples:>10} samples {seconds:>8.3f} s {samples / seconds:>12.0f} samples/s")

def passes(what, data, workers):
    loader = DataLoader(data, 64, shuffle=True, num_workers=workers)
    start, samples = time.time(), 0
    for _ in range(3):
        for x, _y in loader:
            samples += len(x)
    report(what, samples, start)

folder, table = sys.argv[1:3]
start = time.time()
images = numpy.frombuffer(gzip.open(f"{folder}/t10k-images-idx3-ubyte.gz").read(), numpy.uint8, offset=16)
labels = numpy.frombuffer(gzip.open(f"{folder}/t10k-labels-idx1-ubyte.gz").read(), numpy.uint8, offset=8)
x = torch.tensor(images.reshape(-1, 28, 28)).float() / 255
data = TensorDataset(x, torch.tensor(labels.astype(numpy.int64)))
report("IDX read", len(data), start)
passes("IDX loader", data, 0)
passes("IDX loader, 2 workers", data, 2)
start = time.time()
try:
    import pandas
    rows = pandas.read_csv(table).to_numpy(dtype=numpy.float32)
except ImportError:
    rows = numpy.loadtxt(table, dtype=numpy.float32, delimiter=",", skiprows=1)
data = TensorDataset(torch.tensor(rows[:, :-1]), torch.tensor(rows[:, -1].astype(numpy.int64)))
report("CSV read", len(data), start)
if len(data) <= 1_000_000:
    passes("CSV loader", data, 0)
