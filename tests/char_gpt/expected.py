"""Writes expected.json: the losses of the network of examples/char_gpt, as PyTorch computes them, over 20 steps.

    python tests/char_gpt/expected.py > tests/char_gpt/expected.json

Initial weights and batches follow from a counter alone, so that tests/char_gpt.rs makes the same ones.
"""

import json
import pathlib

import numpy
import torch
import torch.nn.functional as F
from torch import nn

BATCH, CONTEXT, WIDTH, LAYERS, HEADS, STEPS = 16, 128, 128, 4, 4, 20
MASK = (1 << 64) - 1


def uniform(seed, count):
    """Numbers in [0, 1) by splitmix64: the upper 24 bits of every word."""
    with numpy.errstate(over="ignore"):
        base = numpy.uint64((seed * 0xD1B54A32D192ED03) & MASK)
        z = base + numpy.arange(1, count + 1, dtype=numpy.uint64) * numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        z = z ^ (z >> numpy.uint64(31))
    return (z >> numpy.uint64(40)).astype(numpy.float32) / numpy.float32(16777216)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.in_proj = nn.Linear(WIDTH, 3 * WIDTH)
        self.out_proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        batch, length, width = x.shape
        parts = self.in_proj(x).view(batch, length, 3, HEADS, width // HEADS).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(*parts, is_causal=True)
        return self.out_proj(y.transpose(1, 2).reshape(batch, length, width))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = Attention()
        self.mlp = nn.ModuleDict({"up": nn.Linear(WIDTH, 4 * WIDTH), "down": nn.Linear(4 * WIDTH, WIDTH)})

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp["down"](F.gelu(self.mlp["up"](self.norm2(x))))


class CharGpt(nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.token = nn.Embedding(vocabulary, WIDTH)
        self.position = nn.Parameter(torch.zeros(CONTEXT, WIDTH))
        for number in range(LAYERS):
            self.add_module(f"block{number}", Block())
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, vocabulary)

    def forward(self, tokens):
        x = self.token(tokens) + self.position
        for number in range(LAYERS):
            x = getattr(self, f"block{number}")(x)
        return self.head(self.norm(x))


def main():
    text = (pathlib.Path(__file__).parent / "text.txt").read_text(encoding="utf-8")
    letters = sorted(set(text))
    numbers = torch.tensor([letters.index(letter) for letter in text])
    training = numbers[: len(numbers) - len(numbers) // 10]
    model = CharGpt(len(letters))
    with torch.no_grad():
        for rank, (_, weight) in enumerate(sorted(model.named_parameters())):
            values = torch.from_numpy(uniform(1000 + rank, weight.numel())).view(weight.shape)
            weight.copy_((values - 0.5) * 0.2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.1)
    starts = uniform(1, STEPS * BATCH) * numpy.float32(len(training) - CONTEXT)
    losses = []
    for step in range(STEPS):
        windows = [training[start : start + CONTEXT + 1] for start in starts.astype(int)[step * BATCH :][:BATCH]]
        windows = torch.stack(windows)
        loss = F.cross_entropy(model(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print(json.dumps({"torch": torch.__version__, "vocabulary": len(letters), "losses": losses}))


main()
