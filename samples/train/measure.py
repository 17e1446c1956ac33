"""Perplexity of the sample model, and what each of its sublayers is worth, with transformers.

    python measure.py MODEL_FOLDER TEXT [--sublayers]

The text is cut into windows of 256 tokens that do not overlap; all 255 predictions inside each
window count. float32. --sublayers zeroes each attention and each feed-forward in turn, and prints
the Jensen-Shannon distance of the next-token distribution to the dense one (nats, mean over
tokens) and the perplexity on 16 windows spread over the text.
"""

import argparse
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

WINDOW = 256


def log_probabilities(model, windows: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([model(batch).logits.log_softmax(-1) for batch in windows.split(16)])


def perplexity(log_p: Tensor, windows: Tensor) -> float:
    return math.exp(F.nll_loss(log_p[:, :-1].flatten(0, 1), windows[:, 1:].flatten()).item())


def jensen_shannon(log_p: Tensor, log_q: Tensor) -> float:
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    divergence = log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m)
    return 0.5 * divergence.sum(-1).mean().item()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("text", type=Path)
    parser.add_argument("--sublayers", action="store_true")
    arguments = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(arguments.folder)
    model = AutoModelForCausalLM.from_pretrained(arguments.folder, dtype=torch.float32).eval()
    ids = torch.tensor(tokenizer(arguments.text.read_text("utf-8"), verbose=False)["input_ids"])
    windows = ids[: len(ids) // WINDOW * WINDOW].view(-1, WINDOW)
    dense = log_probabilities(model, windows)
    print(f"perplexity {perplexity(dense, windows):.3f} over {windows[:, 1:].numel()} tokens")

    if arguments.sublayers:
        chosen = torch.linspace(0, len(windows) - 1, 16).long()
        windows, dense = windows[chosen], dense[chosen]
        print(f"16 windows: perplexity {perplexity(dense, windows):.3f}")
        for index, block in enumerate(model.model.layers):
            parts = {"attention": block.self_attn.o_proj, "feedforward": block.mlp.down_proj}
            for kind, last in parts.items():
                hook = last.register_forward_hook(lambda _, __, output: torch.zeros_like(output))
                cut = log_probabilities(model, windows)
                hook.remove()
                distance, value = jensen_shannon(dense, cut), perplexity(cut, windows)
                print(f"block.{index}.{kind:<12} JS {distance:.5f}  perplexity {value:9.3f}")


if __name__ == "__main__":
    main()
