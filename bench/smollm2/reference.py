"""Holds our logits of a GGUF file against those that transformers computes with its own loading of the file.

    python reference.py tokens FILE.gguf TEXT COUNT OUT.json
    python reference.py compare FILE.gguf IDS.json LOGITS

Prints JSON: the number of tokens and the versions, or max |a - b| / max |b| and how many of the largest logits agree.
"""

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig


def tokens(file, text, count, out):
    folder, name = os.path.split(file)
    ids = AutoTokenizer.from_pretrained(folder, gguf_file=name)(Path(text).read_text(encoding="utf-8"))["input_ids"][: int(count)]
    Path(out).write_text(json.dumps(ids))
    return {"tokens": len(ids), "versions": {name: version(name) for name in ("torch", "transformers")}}


def compare(file, ids, logits):
    folder, name = os.path.split(file)
    dequantize = {"dtype": torch.float32, "quantization_config": GgufConfig(dequantize=True)}
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, **dequantize).eval()
    with torch.no_grad():
        expected = model(torch.tensor([json.loads(Path(ids).read_text())]), use_cache=False).logits[0]
    ours = torch.frombuffer(bytearray(Path(logits).read_bytes()), dtype=torch.float32).reshape(expected.shape)
    error = ((ours - expected).abs().max() / expected.abs().max()).item()
    same = (ours.argmax(-1) == expected.argmax(-1)).float().mean().item()
    return {"relativeError": error, "sameBest": same, "blocks": model.config.num_hidden_layers}


if __name__ == "__main__":
    print(json.dumps({"tokens": tokens, "compare": compare}[sys.argv[1]](*sys.argv[2:])))
