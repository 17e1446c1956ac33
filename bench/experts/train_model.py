"""Trains a small MoE model (Qwen3-MoE: 4 blocks, 16 experts, 2 per token) and writes it in float32.

    python samples/train/fetch_corpus.py WORK
    python bench/experts/train_model.py WORK/corpus/train.txt samples/espalier-sample MODEL_FOLDER

Text and tokenizer are those of the sample model. Seeded, with a fixed number of steps. Matrices are updated by Muon,
everything else by AdamW. The loss has the usual load-balancing term (arXiv 2101.03961). Needs torch, safetensors and
tokenizers.
"""

import argparse
import json
import math
import shutil
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor, nn

sys.path.append(str(Path(__file__).resolve().parents[2] / "samples/train"))
from training import Muon, encode, rotary_tables, rotate, schedule

CONFIG = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "vocab_size": 2048,
    "hidden_size": 128,
    "intermediate_size": 256,
    "moe_intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "num_experts": 16,
    "num_experts_per_tok": 2,
    "norm_topk_prob": True,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "hidden_act": "silu",
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "rope_scaling": None,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "use_sliding_window": False,
    "tie_word_embeddings": True,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
    "torch_dtype": "float32",
}
HIDDEN, INNER = CONFIG["hidden_size"], CONFIG["moe_intermediate_size"]
HEADS, KV_HEADS = CONFIG["num_attention_heads"], CONFIG["num_key_value_heads"]
HEAD_DIM, LAYERS, EPS = CONFIG["head_dim"], CONFIG["num_hidden_layers"], CONFIG["rms_norm_eps"]
EXPERTS, PER_TOKEN = CONFIG["num_experts"], CONFIG["num_experts_per_tok"]

SEQUENCE, BATCH = 128, 16
WARMUP, FINAL_RATE = 0.03, 0.02
ADAM_RATE, MUON_RATE, WEIGHT_DECAY, BALANCE = 3e-3, 2e-2, 0.05, 0.01


def linear(x: Tensor, weight: Tensor) -> Tensor:
    return (x.bfloat16() @ weight.bfloat16().mT).float()


def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), weight, EPS)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q = nn.Parameter(torch.randn(HEADS * HEAD_DIM, HIDDEN) * 0.5 * HIDDEN**-0.5)
        self.k = nn.Parameter(torch.randn(KV_HEADS * HEAD_DIM, HIDDEN) * 0.5 * HIDDEN**-0.5)
        self.v = nn.Parameter(torch.randn(KV_HEADS * HEAD_DIM, HIDDEN) * 0.5 * HIDDEN**-0.5)
        output = torch.randn(HIDDEN, HEADS * HEAD_DIM) * 0.5 * HIDDEN**-0.5
        self.o = nn.Parameter(output / math.sqrt(2 * LAYERS))
        self.q_norm = nn.Parameter(torch.ones(HEAD_DIM))
        self.k_norm = nn.Parameter(torch.ones(HEAD_DIM))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, sequence, _ = x.shape
        query = linear(x, self.q).view(batch, sequence, HEADS, HEAD_DIM)
        key = linear(x, self.k).view(batch, sequence, KV_HEADS, HEAD_DIM)
        value = linear(x, self.v).view(batch, sequence, KV_HEADS, HEAD_DIM).transpose(1, 2)
        query = rotate(rms_norm(query, self.q_norm).transpose(1, 2), cos, sin)
        key = rotate(rms_norm(key, self.k_norm).transpose(1, 2), cos, sin)
        mixed = F.scaled_dot_product_attention(
            query, key, value, is_causal=True, enable_gqa=True
        )
        return linear(mixed.transpose(1, 2).reshape(batch, sequence, -1), self.o)


class Moe(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.router = nn.Parameter(torch.randn(EXPERTS, HIDDEN) * 0.5 * HIDDEN**-0.5)
        self.gate = nn.Parameter(torch.randn(EXPERTS, INNER, HIDDEN) * 0.5 * HIDDEN**-0.5)
        self.up = nn.Parameter(torch.randn(EXPERTS, INNER, HIDDEN) * 0.5 * HIDDEN**-0.5)
        down = torch.randn(EXPERTS, HIDDEN, INNER) * 0.5 * INNER**-0.5
        self.down = nn.Parameter(down / math.sqrt(2 * LAYERS))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Output for the rows of x, and the load-balancing loss."""
        shares = (x @ self.router.T).softmax(-1)
        best, chosen = shares.topk(PER_TOKEN, dim=-1)
        best = best / best.sum(-1, keepdim=True)
        order = chosen.flatten().argsort(stable=True)
        counts = chosen.flatten().bincount(minlength=EXPERTS)
        rows, experts = order // PER_TOKEN, chosen.flatten()[order]
        # The rows of each expert, padded to the largest number: one batched matmul for all of them.
        most = int(counts.max())
        first = counts.cumsum(0) - counts
        slots = experts * most + torch.arange(len(order)) - first[experts]
        own = torch.zeros(EXPERTS * most, HIDDEN).index_copy(0, slots, x[rows])
        own = own.view(EXPERTS, most, HIDDEN)
        outputs = linear(F.silu(linear(own, self.gate)) * linear(own, self.up), self.down)
        weighted = outputs.flatten(0, 1)[slots] * best.flatten()[order, None]
        result = torch.zeros_like(x).index_add(0, rows, weighted)
        load = counts / counts.sum()
        return result, EXPERTS * (load * shares.mean(0)).sum()


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention_norm = nn.Parameter(torch.ones(HIDDEN))
        self.attention = Attention()
        self.moe_norm = nn.Parameter(torch.ones(HIDDEN))
        self.moe = Moe()

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        x = x + self.attention(rms_norm(x, self.attention_norm), cos, sin)
        output, balance = self.moe(rms_norm(x, self.moe_norm).flatten(0, 1))
        return x + output.view_as(x), balance


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(CONFIG["vocab_size"], HIDDEN) * 0.05)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.Parameter(torch.ones(HIDDEN))
        self.cos, self.sin = rotary_tables(CONFIG["rope_theta"], HEAD_DIM, SEQUENCE)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Mean next-token cross-entropy in nats, and the mean load-balancing loss."""
        x = F.embedding(tokens[:, :-1], self.embedding)
        balances = []
        for block in self.blocks:
            x, balance = block(x, self.cos, self.sin)
            balances.append(balance)
        logits = linear(rms_norm(x, self.norm), self.embedding)
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        return loss, torch.stack(balances).mean()


def tensors_of(model: Model) -> dict[str, Tensor]:
    """Tensors by the names of Hugging Face transformers."""
    tensors = {"model.embed_tokens.weight": model.embedding, "model.norm.weight": model.norm}
    for i, block in enumerate(model.blocks):
        prefix = f"model.layers.{i}"
        tensors[f"{prefix}.input_layernorm.weight"] = block.attention_norm
        tensors[f"{prefix}.post_attention_layernorm.weight"] = block.moe_norm
        for name in "qkvo":
            tensors[f"{prefix}.self_attn.{name}_proj.weight"] = getattr(block.attention, name)
        tensors[f"{prefix}.self_attn.q_norm.weight"] = block.attention.q_norm
        tensors[f"{prefix}.self_attn.k_norm.weight"] = block.attention.k_norm
        tensors[f"{prefix}.mlp.gate.weight"] = block.moe.router
        for j in range(EXPERTS):
            for name in ("gate", "up", "down"):
                weight = getattr(block.moe, name)[j]
                tensors[f"{prefix}.mlp.experts.{j}.{name}_proj.weight"] = weight
    return {name: value.detach().float().contiguous().clone() for name, value in tensors.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path)
    parser.add_argument("tokenizer", type=Path, help="folder with tokenizer.json")
    parser.add_argument("folder", type=Path, help="where the model is written")
    parser.add_argument("--steps", type=int, default=4000)
    arguments = parser.parse_args()

    torch.manual_seed(1)
    tokenizer = Tokenizer.from_file(str(arguments.tokenizer / "tokenizer.json"))
    tokens = encode(tokenizer, arguments.text, CONFIG["bos_token_id"], CONFIG["eos_token_id"])
    model = Model()
    count = sum(parameter.numel() for parameter in model.parameters())
    print(f"{count} parameters, {len(tokens)} tokens", flush=True)
    matrices = [p for n, p in model.named_parameters() if p.dim() > 1 and n != "embedding" and "router" not in n]
    own = {id(matrix) for matrix in matrices}
    others = [p for p in model.parameters() if id(p) not in own]
    muon = Muon(matrices, WEIGHT_DECAY)
    adam = torch.optim.AdamW(others, lr=ADAM_RATE, betas=(0.9, 0.95), weight_decay=0.0, fused=True)

    order, at, mean, start = torch.empty(0, dtype=torch.long), 0, math.nan, time.monotonic()
    for step in range(arguments.steps):
        if at + BATCH > len(order):
            # A new epoch: the row is cut again, so that windows begin elsewhere.
            shift = int(torch.randint(SEQUENCE, ()))
            order = torch.randperm((len(tokens) - shift - 1) // SEQUENCE) * SEQUENCE + shift
            at = 0
        starts = order[at : at + BATCH].tolist()
        batch = torch.stack([tokens[first : first + SEQUENCE + 1] for first in starts])
        at += BATCH
        rate = schedule(step / arguments.steps, WARMUP, FINAL_RATE)
        for group in adam.param_groups:
            group["lr"] = ADAM_RATE * rate
        loss, balance = model(batch)
        model.zero_grad()
        (loss + BALANCE * balance).backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        adam.step()
        muon.step(MUON_RATE * rate)
        mean = loss.item() if math.isnan(mean) else 0.98 * mean + 0.02 * loss.item()
        if step % 50 == 0:
            passed = time.monotonic() - start
            print(f"{passed:7.1f} s  step {step:5d}  loss {mean:.4f}  balance {balance.item():.3f}", flush=True)

    arguments.folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors_of(model), arguments.folder / "model.safetensors", metadata={"format": "pt"})
    (arguments.folder / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n", "utf-8")
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(arguments.tokenizer / name, arguments.folder / name)
    print(f"{arguments.steps} steps, {arguments.steps * BATCH * SEQUENCE} tokens, loss {mean:.4f}")


if __name__ == "__main__":
    main()
