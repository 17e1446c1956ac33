"""Chooses a type for each tensor by the rule of llama.cpp pull request 15550, as its description gives it.

    python choose_types.py FLOAT.gguf IMATRIX.gguf LIMIT PLAN.json TYPE.gguf ... [--mix MIX.gguf]    (needs gguf)

Each TYPE.gguf is the model with all matrices in one type. The error of a tensor in a type is Σ importance · (w − w′)²;
tensors that the importance matrix lacks have importance 1, or, with --mix, the type that they have in that file. Types off the Pareto frontier of a tensor are dropped. A
binary search over the multiplier μ of error + μ · bytes finds the types for LIMIT bytes of tensors, and the best
reductions of the error per byte fill the rest. The penalty for biased outputs is left out: it needs mean activations,
which importance matrices of llama.cpp's main branch don't have.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize


def read_importance(path: str) -> dict[str, np.ndarray]:
    """Mean of x² of each input of a tensor, [experts, in]."""
    tensors = {tensor.name: tensor.data for tensor in GGUFReader(path).tensors}
    found = {}
    for name, sums in tensors.items():
        if name.endswith(".in_sum2"):
            stem = name.removesuffix(".in_sum2")
            counts = np.maximum(tensors[f"{stem}.counts"].reshape(-1, 1), 1)
            found[stem] = sums.reshape(len(counts), -1) / counts
    return found


def weighted_error(original: np.ndarray, rounded: np.ndarray, importance: np.ndarray | None) -> float:
    squares = (original.astype(np.float32) - rounded) ** 2
    if importance is None:
        return float(squares.sum(dtype=np.float64))
    stacked = squares.reshape(len(importance), -1, importance.shape[1])
    return float((stacked * importance[:, None, :]).sum(dtype=np.float64))


def frontier(options: list[tuple[int, float, str]]) -> list[tuple[int, float, str]]:
    """Options of a tensor, (bytes, error, type), without those that are larger and no better than another."""
    kept: list[tuple[int, float, str]] = []
    for option in sorted(options):
        if not kept or option[1] < kept[-1][1]:
            kept.append(option)
    return kept


def choose(options: dict[str, list[tuple[int, float, str]]], limit: int) -> dict[str, tuple[int, float, str]]:
    def at(multiplier: float) -> dict[str, tuple[int, float, str]]:
        return {name: min(own, key=lambda o: o[1] + multiplier * o[0]) for name, own in options.items()}

    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        if sum(option[0] for option in at(middle).values()) > limit:
            low = middle
        else:
            high = middle
    chosen = at(high)
    left = limit - sum(option[0] for option in chosen.values())
    if left < 0:
        raise SystemExit(f"The smallest types need {-left} bytes more than {limit}.")
    while True:
        steps = [
            ((chosen[name][1] - o[1]) / (o[0] - chosen[name][0]), name, o)
            for name, own in options.items()
            for o in own
            if chosen[name][0] < o[0] <= chosen[name][0] + left
        ]
        if not steps:
            return chosen
        _, name, option = max(steps)
        left -= option[0] - chosen[name][0]
        chosen[name] = option


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("source", "importance", "limit", "plan"):
        parser.add_argument(name)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--mix")
    arguments = parser.parse_args()
    source, importance_path, limit, plan = (
        arguments.source, arguments.importance, arguments.limit, arguments.plan,
    )  # fmt: skip
    files = arguments.files
    importance = read_importance(importance_path)
    originals = {tensor.name: tensor for tensor in GGUFReader(source).tensors}
    options: dict[str, list[tuple[int, float, str]]] = {}
    rest = 0
    for file in files:
        for tensor in GGUFReader(file).tensors:
            name = tensor.name
            if tensor.tensor_type.name in ("F32", "F16"):
                rest += int(tensor.n_bytes) if file == files[0] else 0
                continue
            original = originals[name].data.astype(np.float32)
            rounded = dequantize(tensor.data, tensor.tensor_type).reshape(original.shape)
            error = weighted_error(original, rounded, importance.get(name))
            options.setdefault(name, []).append((int(tensor.n_bytes), error, tensor.tensor_type.name))
    if arguments.mix is not None:
        mixed = {tensor.name: tensor for tensor in GGUFReader(arguments.mix).tensors}
        for name in options.keys() - importance.keys():
            options[name] = [(int(mixed[name].n_bytes), 0.0, mixed[name].tensor_type.name)]
    options = {name: frontier(own) for name, own in options.items()}
    chosen = choose(options, int(limit) - rest)
    document = {
        "format": "espalier.plan",
        "version": 1,
        "model": {"path": source},
        "remove": [],
        "types": {name: option[2] for name, option in chosen.items()},
    }
    Path(plan).write_text(json.dumps(document, indent=2), "utf-8")
    print(json.dumps({"bytes": rest + sum(option[0] for option in chosen.values())}))


if __name__ == "__main__":
    main()
