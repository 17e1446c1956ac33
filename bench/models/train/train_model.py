"""Trains the float model of the quantization benchmarks (Qwen3: 12 blocks, hidden size 512) and writes it in float32.

    python bench/models/train/train_model.py TRAINING_TEXT TOKENIZER_FOLDER MODEL_FOLDER [--steps 800] [--until 700]

Seeded, with a fixed number of steps: the number of steps, not the clock, sets the learning rate. Parameters, residual
stream, norms, softmax, and loss are float32, and matmuls are bfloat16. Matrices are updated by Muon (momentum,
orthogonalized by a Newton-Schulz iteration; Jordan et al., 2024), token embedding, LM head, and norms by AdamW.
MODEL_FOLDER/checkpoint.pt is written every 50 steps, and the same command resumes from it. The order of the text depends
only on the seed and the step, so a resumed run sees the same batches. Needs torch, safetensors, and tokenizers.
"""

import argparse
import json
import math
import os
import shutil
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor, nn

sys.path.append(str(Path(__file__).resolve().parents[3] / "samples/train"))
from training import Muon, encode, rotary_tables, rotate, schedule

CONFIG = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "vocab_size": 2048,
    "hidden_size": 512,
    "intermediate_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "hidden_act": "silu",
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "rope_scaling": None,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "use_sliding_window": False,
    "tie_word_embeddings": False,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
    "torch_dtype": "float32",
}
HIDDEN, INTERMEDIATE = CONFIG["hidden_size"], CONFIG["intermediate_size"]
HEADS, KV_HEADS = CONFIG["num_attention_heads"], CONFIG["num_key_value_heads"]
HEAD_DIM, LAYERS, EPS = CONFIG["head_dim"], CONFIG["num_hidden_layers"], CONFIG["rms_norm_eps"]

SEED = 1
SEQUENCE, BATCH = 256, 16
WARMUP, FINAL_RATE = 0.03, 0.02
ADAM_RATE, MUON_RATE, WEIGHT_DECAY = 3e-3, 2e-2, 0.05
CHECKPOINT_STEPS = 50


def linear(x: Tensor, weight: Tensor) -> Tensor:
    return x.bfloat16() @ weight.bfloat16().T


def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    return F.rms_norm(x.float(), (x.shape[-1],), weight, EPS)


def block(x: Tensor, parameters: list[Tensor], cos: Tensor, sin: Tensor) -> Tensor:
    """Attention and MLP with their residual connections. x is [batch, sequence, hidden]."""
    input_norm, q, k, v, o, q_norm, k_norm, output_norm, gate, up, down = parameters
    batch, sequence, _ = x.shape
    hidden = rms_norm(x, input_norm)
    query = linear(hidden, q).view(batch, sequence, HEADS, HEAD_DIM)
    key = linear(hidden, k).view(batch, sequence, KV_HEADS, HEAD_DIM)
    value = linear(hidden, v).view(batch, sequence, KV_HEADS, HEAD_DIM).transpose(1, 2)
    query = rotate(rms_norm(query, q_norm).transpose(1, 2), cos, sin).bfloat16()
    key = rotate(rms_norm(key, k_norm).transpose(1, 2), cos, sin).bfloat16()
    key = key.repeat_interleave(HEADS // KV_HEADS, dim=1)
    value = value.repeat_interleave(HEADS // KV_HEADS, dim=1)
    mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    x = x + linear(mixed.transpose(1, 2).reshape(batch, sequence, -1), o)
    hidden = rms_norm(x, output_norm)
    return x + linear(F.silu(linear(hidden, gate).float()) * linear(hidden, up), down)


def head(x: Tensor, norm: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Mean next-token cross-entropy in nats."""
    logits = linear(rms_norm(x, norm), weight).float()
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def block_shapes(layer: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors of a block by the names of Hugging Face transformers, in the order of `block`."""
    query, key = HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM
    shapes: dict[str, tuple[int, ...]] = {
        "input_layernorm": (HIDDEN,),
        "self_attn.q_proj": (query, HIDDEN),
        "self_attn.k_proj": (key, HIDDEN),
        "self_attn.v_proj": (key, HIDDEN),
        "self_attn.o_proj": (HIDDEN, query),
        "self_attn.q_norm": (HEAD_DIM,),
        "self_attn.k_norm": (HEAD_DIM,),
        "post_attention_layernorm": (HIDDEN,),
        "mlp.gate_proj": (INTERMEDIATE, HIDDEN),
        "mlp.up_proj": (INTERMEDIATE, HIDDEN),
        "mlp.down_proj": (HIDDEN, INTERMEDIATE),
    }
    return {f"model.layers.{layer}.{name}.weight": shape for name, shape in shapes.items()}


def initial_parameters() -> dict[str, nn.Parameter]:
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (CONFIG["vocab_size"], HIDDEN),
        "lm_head.weight": (CONFIG["vocab_size"], HIDDEN),
        "model.norm.weight": (HIDDEN,),
    }
    for layer in range(LAYERS):
        shapes |= block_shapes(layer)
    parameters = {}
    for name, shape in shapes.items():
        if len(shape) == 1:
            parameters[name] = nn.Parameter(torch.ones(shape))
            continue
        deviation = 0.5 * shape[1] ** -0.5
        if "embed" in name:
            deviation = 0.05
        elif "o_proj" in name or "down_proj" in name:
            # Matrices that write to the residual stream start small, as in GPT-2.
            deviation /= math.sqrt(2 * LAYERS)
        parameters[name] = nn.Parameter(torch.randn(shape) * deviation)
    return parameters


class Model:
    def __init__(self, parameters: dict[str, nn.Parameter], compiled: bool) -> None:
        self.parameters = parameters
        self.block = torch.compile(block, dynamic=False) if compiled else block
        self.head = torch.compile(head, dynamic=False) if compiled else head
        self.cos, self.sin = rotary_tables(CONFIG["rope_theta"], HEAD_DIM, SEQUENCE)

    def loss(self, tokens: Tensor) -> Tensor:
        """Mean next-token cross-entropy in nats."""
        p = self.parameters
        x = F.embedding(tokens[:, :-1], p["model.embed_tokens.weight"])
        for layer in range(LAYERS):
            x = self.block(x, [p[name] for name in block_shapes(layer)], self.cos, self.sin)
        return self.head(x, p["model.norm.weight"], p["lm_head.weight"], tokens[:, 1:])


class Batches:
    """Windows of the text in an order that depends only on the seed and the step."""

    def __init__(self, tokens: Tensor) -> None:
        self.tokens = tokens
        # The last windows of each epoch are left out, so that all epochs have the same number of batches.
        self.per_epoch = ((len(tokens) - 1) // SEQUENCE - 1) // BATCH
        self.epoch, self.starts = -1, torch.empty(0, dtype=torch.long)

    def batch(self, step: int) -> Tensor:
        """Token ids, [batch, sequence + 1]."""
        epoch, index = divmod(step, self.per_epoch)
        if epoch != self.epoch:
            generator = torch.Generator().manual_seed(SEED * 1000 + epoch)
            # Each epoch cuts the text at other places.
            shift = int(torch.randint(SEQUENCE, (), generator=generator))
            count = (len(self.tokens) - shift - 1) // SEQUENCE
            self.starts = torch.randperm(count, generator=generator) * SEQUENCE + shift
            self.epoch = epoch
        chosen = self.starts[index * BATCH : (index + 1) * BATCH].tolist()
        return torch.stack([self.tokens[start : start + SEQUENCE + 1] for start in chosen])


def save_checkpoint(state: dict, path: Path) -> None:
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    os.replace(temporary, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path)
    parser.add_argument("tokenizer", type=Path, help="folder with tokenizer.json")
    parser.add_argument("folder", type=Path, help="folder of the model and its checkpoint")
    parser.add_argument("--steps", type=int, default=800, help="length of the learning-rate schedule")
    parser.add_argument("--until", type=int, default=700, help="step after which the model is written")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--eager", action="store_true", help="run without torch.compile")
    arguments = parser.parse_args()

    torch.manual_seed(SEED)
    torch.set_num_threads(arguments.threads)
    tokenizer = Tokenizer.from_file(str(arguments.tokenizer / "tokenizer.json"))
    batches = Batches(encode(tokenizer, arguments.text, CONFIG["bos_token_id"], CONFIG["eos_token_id"]))
    parameters = initial_parameters()
    model = Model(parameters, compiled=not arguments.eager)
    count = sum(parameter.numel() for parameter in parameters.values())
    print(f"{count} parameters, {len(batches.tokens)} tokens", flush=True)

    matrices = [p for name, p in parameters.items() if p.dim() == 2 and name.startswith("model.layers.")]
    own = {id(matrix) for matrix in matrices}
    others = [p for p in parameters.values() if id(p) not in own]
    muon = Muon(matrices, WEIGHT_DECAY)
    adam = torch.optim.AdamW(others, lr=ADAM_RATE, betas=(0.9, 0.95), weight_decay=0.0, fused=True)

    arguments.folder.mkdir(parents=True, exist_ok=True)
    checkpoint = arguments.folder / "checkpoint.pt"
    first, mean = 0, math.nan
    if checkpoint.exists():
        state = torch.load(checkpoint)
        if state["steps"] != arguments.steps:
            raise SystemExit(
                f"{checkpoint}: was written for {state['steps']} steps, not {arguments.steps}. "
                "Use the same --steps, or delete it."
            )
        for name, value in state["parameters"].items():
            parameters[name].data.copy_(value)
        adam.load_state_dict(state["adam"])
        muon.momentum = state["muon"]
        first, mean = state["step"], state["loss"]

    start = time.monotonic()
    for step in range(first, arguments.until):
        rate = schedule(step / arguments.steps, WARMUP, FINAL_RATE)
        for group in adam.param_groups:
            group["lr"] = ADAM_RATE * rate
        loss = model.loss(batches.batch(step))
        for parameter in parameters.values():
            parameter.grad = None
        loss.backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        adam.step()
        muon.step(MUON_RATE * rate)
        mean = loss.item() if math.isnan(mean) else 0.98 * mean + 0.02 * loss.item()
        if (step + 1) % 10 == 0:
            passed = time.monotonic() - start
            print(
                f"{passed:7.1f} s, {time.process_time():7.1f} s of CPU time  step {step + 1:5d}  loss {mean:.4f}",
                flush=True,
            )
        if (step + 1) % CHECKPOINT_STEPS == 0:
            state = {
                "parameters": {name: p.detach() for name, p in parameters.items()},
                "adam": adam.state_dict(),
                "muon": muon.momentum,
                "steps": arguments.steps,
                "step": step + 1,
                "loss": mean,
            }
            save_checkpoint(state, checkpoint)

    tensors = {name: p.detach().float().contiguous() for name, p in parameters.items()}
    save_file(tensors, arguments.folder / "model.safetensors", metadata={"format": "pt"})
    (arguments.folder / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n", "utf-8")
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(arguments.tokenizer / name, arguments.folder / name)
    print(f"{arguments.until} steps, {arguments.until * BATCH * SEQUENCE} tokens, loss {mean:.4f}")


if __name__ == "__main__":
    main()
