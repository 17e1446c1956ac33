"""Prints True if two GGUF files have the same tensors, in types and bytes: python same_tensors.py A.gguf B.gguf (needs gguf)."""

import sys

from gguf import GGUFReader

first, second = ({tensor.name: tensor for tensor in GGUFReader(path).tensors} for path in sys.argv[1:3])
print(
    first.keys() == second.keys()
    and all(
        tensor.tensor_type == second[name].tensor_type and bool((tensor.data == second[name].data).all())
        for name, tensor in first.items()
    )
)
