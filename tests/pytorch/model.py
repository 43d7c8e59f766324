"""The model that `tests/pytorch.rs` takes the weights of, and gives back.

    python tests/pytorch/model.py write          # model.safetensors and outputs.safetensors, anew
    python tests/pytorch/model.py check FILE     # whether PyTorch takes a file that was exported, with the same outputs

It needs the packages torch and safetensors; the tests need neither.
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

HERE = Path(__file__).parent


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.vision = nn.Sequential(
            nn.Conv2d(2, 4, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 4, (3, 1), groups=2),
            nn.ConvTranspose2d(4, 3, (2, 3), stride=2),
            nn.Flatten(),
            nn.Linear(54, 5),
        )
        self.tokens = nn.Embedding(11, 6)
        self.norm = nn.LayerNorm(6)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.lstm = nn.LSTM(6, 7, num_layers=2, batch_first=True)
        self.gru = nn.GRU(7, 5, batch_first=True)
        self.group = nn.GroupNorm(2, 4)
        self.scores = nn.Linear(5, 3)

    def forward(self, images, tokens):
        x = self.norm(self.tokens(tokens))
        x = x + self.attention(x, x, x, need_weights=False)[0]
        x = self.gru(self.lstm(x)[0])[0]
        features = self.vision[:2](images)
        return {
            "images": self.vision(images),
            "tokens": self.scores(x),
            "features": self.group(features),
        }


def main():
    if sys.argv[1] == "write":
        torch.manual_seed(7)
        model = Model()
        # Running statistics, weights of norms, and biases that are not where they begin.
        for _ in range(5):
            model(torch.randn(6, 2, 6, 8) * 2 + 1, torch.randint(0, 11, (3, 5)))
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, (nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)):
                    module.weight.uniform_(0.5, 1.5)
                    module.bias.uniform_(-0.5, 0.5)
                if isinstance(module, nn.MultiheadAttention):
                    module.in_proj_bias.uniform_(-0.5, 0.5)
                    module.out_proj.bias.uniform_(-0.5, 0.5)
        model.eval()
        images, tokens = torch.randn(3, 2, 6, 8), torch.randint(0, 11, (3, 5))
        with torch.no_grad():
            outputs = model(images, tokens)
        save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, HERE / "model.safetensors")
        outputs = {f"output.{name}": tensor.contiguous() for name, tensor in outputs.items()}
        save_file(
            {"input.images": images, "input.tokens": tokens.to(torch.int32), **outputs}, HERE / "outputs.safetensors"
        )
        return
    model = Model()
    keys = model.load_state_dict(load_file(sys.argv[2]), strict=True)
    model.eval()
    known = load_file(HERE / "outputs.safetensors")
    with torch.no_grad():
        outputs = model(known["input.images"], known["input.tokens"].long())
    for name, tensor in outputs.items():
        distance = (tensor - known[f"output.{name}"]).abs().max().item()
        print(f"{name}: {distance}")
        assert distance == 0.0, name
    print("PyTorch", torch.__version__, "takes it:", keys)


main()
