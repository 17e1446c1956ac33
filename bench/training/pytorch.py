"""Trains one of the bench's models with PyTorch eager: python pytorch.py MODEL STEPS THREADS."""

import json
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


class Residual(nn.Module):
    def __init__(self, *branch):
        super().__init__()
        self.branch = nn.Sequential(*branch)

    def forward(self, x):
        return x + self.branch(x)


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.in_proj = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)
        self.heads = heads

    def forward(self, x):
        batch, sequence, width = x.shape
        split = self.in_proj(x).view(batch, sequence, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*split, is_causal=True)
        return self.out_proj(mixed.transpose(1, 2).reshape(batch, sequence, width))


def block():
    return [
        Residual(nn.LayerNorm(128), Attention(128, 4)),
        Residual(nn.LayerNorm(128), nn.Linear(128, 512), nn.GELU(), nn.Linear(512, 128)),
    ]


def make(name):
    sgd = lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, weight_decay=5e-4)  # noqa: E731
    if name == "mlp":
        model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
        return model, sgd, lambda: (torch.rand(128, 784) - 0.5, torch.randint(0, 10, (128,)))
    if name == "cnn":
        model = nn.Sequential(
            *[nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)],
            *[nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)],
            *[nn.Flatten(), nn.Linear(3136, 10)],
        )
        return model, sgd, lambda: (torch.rand(64, 1, 28, 28) - 0.5, torch.randint(0, 10, (64,)))
    model = nn.Sequential(nn.Embedding(512, 128), *block(), *block(), nn.LayerNorm(128), nn.Linear(128, 512))
    adamw = lambda p: torch.optim.AdamW(p, lr=3e-4, weight_decay=0.01)  # noqa: E731
    return model, adamw, lambda: (torch.randint(0, 512, (8, 64)), torch.randint(0, 512, (8, 64)))


def main(name, steps, threads):
    torch.set_num_threads(int(threads))
    torch.manual_seed(1)
    model, optimiser, batch = make(name)
    step = optimiser(model.parameters())
    batches = [batch() for _ in range(4)]
    milliseconds = []
    for i in range(int(steps)):
        begin = time.perf_counter()
        x, labels = batches[i % len(batches)]
        step.zero_grad()
        logits = model(x)
        loss = F.cross_entropy(logits.flatten(0, -2), labels.flatten())
        loss.backward()
        step.step()
        loss.item()
        milliseconds.append((time.perf_counter() - begin) * 1000)
    print(json.dumps({"milliseconds": milliseconds, "cpuSeconds": time.process_time(), "torch": torch.__version__}))


main(*sys.argv[1:])
