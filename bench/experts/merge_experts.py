"""Merges experts instead of removing them (REAM, arXiv 2604.04356), for a comparison at equal bytes.

    python bench/experts/merge_experts.py MODEL TEXT KEPT MERGED_FOLDER REMOVED_FOLDER

The model is one of train_model.py. Experts that stay are the most salient ones (REAP) in both folders. In MERGED_FOLDER
each other expert is added to the one whose outputs on TEXT are most similar (cosine), weighted by its share of tokens times
its saliency, after its channels were matched to those of that expert (greedily, by the correlation of their activations).
Router rows are those of the experts that stay. Needs torch, safetensors and tokenizers.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

from train_model import CONFIG, EXPERTS, HEAD_DIM, HEADS, KV_HEADS, LAYERS, PER_TOKEN, rms_norm
from training import rotary_tables, rotate

SEQUENCES, LENGTH = 128, 256


def attend(w: dict[str, Tensor], x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    batch, sequence, _ = x.shape
    query = (x @ w["self_attn.q_proj.weight"].T).view(batch, sequence, HEADS, HEAD_DIM)
    key = (x @ w["self_attn.k_proj.weight"].T).view(batch, sequence, KV_HEADS, HEAD_DIM)
    value = (x @ w["self_attn.v_proj.weight"].T).view(batch, sequence, KV_HEADS, HEAD_DIM).transpose(1, 2)
    query = rotate(rms_norm(query, w["self_attn.q_norm.weight"]).transpose(1, 2), cos, sin)
    key = rotate(rms_norm(key, w["self_attn.k_norm.weight"]).transpose(1, 2), cos, sin)
    mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
    return mixed.transpose(1, 2).reshape(batch, sequence, -1) @ w["self_attn.o_proj.weight"].T


def matching(kept: Tensor, other: Tensor) -> Tensor:
    """Channel of `other` for each channel of `kept`, by the correlation of their activations [rows, channels]."""
    a, b = ((x - x.mean(0)) / (x.std(0) + 1e-9) for x in (kept, other))
    likeness = a.T @ b
    order = torch.empty(likeness.shape[0], dtype=torch.long)
    for _ in range(likeness.shape[0]):
        row, column = divmod(int(likeness.argmax()), likeness.shape[1])
        order[row] = column
        likeness[row] = -torch.inf
        likeness[:, column] = -torch.inf
    return order


@torch.no_grad()
def main() -> None:
    source, text, kept_count, merged_folder, removed_folder = sys.argv[1:]
    model = load_file(Path(source) / "model.safetensors")
    tokenizer = Tokenizer.from_file(str(Path(source) / "tokenizer.json"))
    ids = torch.tensor(tokenizer.encode(Path(text).read_text("utf-8")).ids)
    ids = ids[: min(SEQUENCES, len(ids) // LENGTH) * LENGTH].view(-1, LENGTH)
    cos, sin = rotary_tables(CONFIG["rope_theta"], HEAD_DIM, LENGTH)
    x = F.embedding(ids, model["model.embed_tokens.weight"])
    merged = {name: tensor for name, tensor in model.items() if ".mlp." not in name}
    removed = dict(merged)
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        w = {name[len(prefix) :]: tensor for name, tensor in model.items() if name.startswith(prefix)}
        x = x + attend(w, rms_norm(x, w["input_layernorm.weight"]), cos, sin)
        rows = rms_norm(x, w["post_attention_layernorm.weight"]).flatten(0, 1)
        shares = (rows @ w["mlp.gate.weight"].T).softmax(-1)
        best, chosen = shares.topk(PER_TOKEN, dim=-1)
        weights = torch.zeros_like(shares).scatter(1, chosen, best / best.sum(-1, keepdim=True))
        experts = [
            {part: w[f"mlp.experts.{j}.{part}_proj.weight"] for part in ("gate", "up", "down")}
            for j in range(EXPERTS)
        ]
        inner = [F.silu(rows @ e["gate"].T) * (rows @ e["up"].T) for e in experts]
        outputs = torch.stack([h @ e["down"].T for h, e in zip(inner, experts)])
        x = x + torch.einsum("te,ted->td", weights, outputs.transpose(0, 1)).view_as(x)
        norms = weights.T * outputs.norm(dim=-1)
        used = weights.T > 0
        saliency = norms.sum(1) / used.sum(1).clamp(min=1)
        worth = norms.sum(1).clamp(min=1e-12)
        kept = saliency.topk(int(kept_count)).indices.sort().values.tolist()
        flat = F.normalize(outputs.flatten(1), dim=1)
        likeness = flat @ flat.T
        groups = {j: [j] for j in kept}
        for j in range(EXPERTS):
            if j not in groups:
                groups[max(kept, key=lambda k: float(likeness[j, k]))].append(j)
        for new, j in enumerate(kept):
            total = {part: torch.zeros_like(tensor) for part, tensor in experts[j].items()}
            for other in groups[j]:
                order = torch.arange(inner[j].shape[1]) if other == j else matching(inner[j], inner[other])
                share = worth[other] / worth[groups[j]].sum()
                total["gate"] += share * experts[other]["gate"][order]
                total["up"] += share * experts[other]["up"][order]
                total["down"] += share * experts[other]["down"][:, order]
            for part in ("gate", "up", "down"):
                name = f"{prefix}mlp.experts.{new}.{part}_proj.weight"
                merged[name], removed[name] = total[part], experts[j][part]
        gate = w["mlp.gate.weight"][kept]
        merged[f"{prefix}mlp.gate.weight"] = removed[f"{prefix}mlp.gate.weight"] = gate
    config = {**CONFIG, "num_experts": int(kept_count)}
    for folder, tensors in ((Path(merged_folder), merged), (Path(removed_folder), removed)):
        folder.mkdir(parents=True, exist_ok=True)
        contiguous = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
        save_file(contiguous, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
        for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
            shutil.copy(Path(source) / name, folder / name)


if __name__ == "__main__":
    main()
