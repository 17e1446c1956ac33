"""What the training scripts of this repository share: an optimizer, a learning-rate schedule and token ids."""

import math
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn


class Muon:
    """Momentum orthogonalized by a Newton-Schulz iteration (Jordan et al., 2024), one batch for each shape.

    Matrices are [out, in]; leading dimensions are stacks of them.
    """

    def __init__(self, matrices: list[nn.Parameter], weight_decay: float) -> None:
        self.weight_decay = weight_decay
        self.groups: dict[tuple[int, ...], list[nn.Parameter]] = {}
        for matrix in matrices:
            self.groups.setdefault(tuple(matrix.shape), []).append(matrix)
        self.momentum = {shape: torch.zeros(len(group), *shape) for shape, group in self.groups.items()}

    @staticmethod
    def orthogonalize(matrices: Tensor) -> Tensor:
        x = matrices.bfloat16()
        tall = x.shape[-2] > x.shape[-1]
        x = x.mT if tall else x
        x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
        for _ in range(5):
            square = x @ x.mT
            x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
        return (x.mT if tall else x).float()

    @torch.no_grad()
    def step(self, rate: float) -> None:
        for shape, group in self.groups.items():
            # A sublayer that was skipped has no gradient this time.
            zeros = torch.zeros(shape)
            gradient = torch.stack([zeros if p.grad is None else p.grad for p in group])
            momentum = self.momentum[shape].lerp_(gradient, 0.05)
            update = self.orthogonalize(gradient.lerp(momentum, 0.95))
            scale = rate * max(1.0, shape[-2] / shape[-1]) ** 0.5
            for matrix, change in zip(group, update):
                matrix.mul_(1 - rate * self.weight_decay).sub_(change, alpha=scale)


def schedule(progress: float, warmup: float, final: float) -> float:
    """Fraction of the peak learning rate: linear warm-up, then cosine down to the fraction `final`."""
    if progress < warmup:
        return (progress + 1e-3) / (warmup + 1e-3)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warmup) / (1 - warmup))))
    return final + (1 - final) * cosine


def rotary_tables(theta: float, width: int, length: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of rotary position embeddings, both [length, width]."""
    frequency = theta ** -(torch.arange(0, width, 2) / width)
    angle = torch.outer(torch.arange(length).float(), frequency).repeat(1, 2)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Applies rotary position embeddings to halves of x, as in Llama checkpoints; in float32."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def encode(tokenizer: Tokenizer, text: Path, bos: int, eos: int) -> Tensor:
    """All documents of a text in one row of token ids, each between BOS and EOS; form feeds separate them."""
    ids: list[int] = []
    for document in text.read_text("utf-8").split("\f"):
        ids += [bos, *tokenizer.encode(document).ids, eos]
    return torch.tensor(ids)
