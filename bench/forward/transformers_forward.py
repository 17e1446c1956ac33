"""Reads a text with transformers, windows of LENGTH tokens, BATCH at once, in float32 with eager attention.

    python transformers_forward.py MODEL TEXT LENGTH BATCH THREADS

Prints tokens read per second, loading left out, and the perplexity of what each window predicts, as JSON.
"""

import json
import math
import sys
import time
from importlib.metadata import version
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM


@torch.inference_mode()
def main(folder, text, length, batch, threads):
    torch.set_num_threads(threads)
    ids = Tokenizer.from_file(str(Path(folder) / "tokenizer.json")).encode(Path(text).read_text(encoding="utf-8")).ids
    windows = torch.tensor(ids[: len(ids) // length * length]).view(-1, length)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    model(input_ids=windows[:batch], use_cache=False)
    total, start = 0.0, time.perf_counter()
    for part in windows.split(batch):
        logits = model(input_ids=part, use_cache=False).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), part[:, 1:].flatten(), reduction="sum")
        total += loss.item()
    seconds = time.perf_counter() - start
    predicted = windows.shape[0] * (length - 1)
    versions = {name: version(name) for name in ("torch", "transformers")}
    print(
        json.dumps(
            {
                "tokensPerSecond": windows.numel() / seconds,
                "perplexity": math.exp(total / predicted),
                "tokens": windows.numel(),
                "versions": versions,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:6]))
