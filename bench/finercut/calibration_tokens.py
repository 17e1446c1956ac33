"""Writes the calibration token ids of a model folder as JSON [sequences][length], by the native tokenizers library.

    python calibration_tokens.py MODEL TEXT SEQUENCES LENGTH OUT

Prints the fingerprint that a layer profile gives for the same tokens, and the versions in use, as JSON.
"""

import hashlib
import json
import struct
import sys
from importlib.metadata import version
from pathlib import Path

from tokenizers import Tokenizer


def main(model, text, sequences, length, out):
    tokenizer = Tokenizer.from_file(str(Path(model) / "tokenizer.json"))
    rows, columns = int(sequences), int(length)
    ids = tokenizer.encode(Path(text).read_text(encoding="utf-8")).ids[: rows * columns]
    assert len(ids) == rows * columns, f"{text} has only {len(ids)} tokens"
    tokens = [ids[row * columns : (row + 1) * columns] for row in range(rows)]
    Path(out).write_text(json.dumps(tokens))
    fingerprint = hashlib.sha256(struct.pack(f"<{len(ids)}i", *ids)).hexdigest()
    versions = {name: version(name) for name in ("torch", "transformers")}
    print(json.dumps({"fingerprint": fingerprint, "versions": versions}))


if __name__ == "__main__":
    main(*sys.argv[1:])
