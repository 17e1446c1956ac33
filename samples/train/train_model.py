"""Trains the sample model on the processor and writes a Hugging Face folder in float16.

Parameters, residual stream, norms, softmax and loss are float32; the matrix products are bfloat16
(--float32 makes them float32 as well). Matrices are updated by Muon (momentum, orthogonalized by a
Newton-Schulz iteration; Jordan et al., 2024), embedding and norms by AdamW.

    python train_model.py WORK_FOLDER MODEL_FOLDER [--minutes 45] [--resume] [--float32]

The learning rate follows the clock, not a number of steps: the run ends on time on any machine.
WORK_FOLDER/checkpoint.pt is written every two minutes; --resume goes on from it.
"""

import argparse
import json
import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from training import Muon, encode, rotary_tables, rotate, schedule

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 2048,
    "hidden_size": 192,
    "intermediate_size": 320,
    "num_hidden_layers": 12,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "hidden_act": "silu",
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "rope_scaling": None,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "mlp_bias": False,
    "tie_word_embeddings": True,
    "initializer_range": 0.02,
    "use_cache": True,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
    "torch_dtype": "float16",
}
HIDDEN, INTERMEDIATE = CONFIG["hidden_size"], CONFIG["intermediate_size"]
HEADS, KV_HEADS = CONFIG["num_attention_heads"], CONFIG["num_key_value_heads"]
KV_HIDDEN, HEAD_DIM = KV_HEADS * CONFIG["head_dim"], CONFIG["head_dim"]
LAYERS, EPS = CONFIG["num_hidden_layers"], CONFIG["rms_norm_eps"]

SEQUENCE, BATCH = 256, 8
WARMUP, FINAL_RATE = 0.03, 0.02
ADAM_RATE, MUON_RATE, WEIGHT_DECAY = 3e-3, 2e-2, 0.05
CHECKPOINT_SECONDS = 120


PRODUCT_TYPE = torch.bfloat16


def linear(x: Tensor, weight: Tensor) -> Tensor:
    return x.to(PRODUCT_TYPE) @ weight.to(PRODUCT_TYPE).T


def attention(
    x: Tensor, norm: Tensor, q: Tensor, k: Tensor, v: Tensor, o: Tensor, cos: Tensor, sin: Tensor
) -> Tensor:
    """x + attention(norm(x)), x is [batch, sequence, hidden]."""
    batch, sequence, _ = x.shape
    h = F.rms_norm(x, (HIDDEN,), norm, EPS)
    query = linear(h, q).view(batch, sequence, HEADS, HEAD_DIM).transpose(1, 2)
    key = linear(h, k).view(batch, sequence, KV_HEADS, HEAD_DIM).transpose(1, 2)
    value = linear(h, v).view(batch, sequence, KV_HEADS, HEAD_DIM).transpose(1, 2)
    query, key = (rotate(x, cos, sin).to(x.dtype) for x in (query, key))
    key = key.repeat_interleave(HEADS // KV_HEADS, dim=1)
    value = value.repeat_interleave(HEADS // KV_HEADS, dim=1)
    mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    return x + linear(mixed.transpose(1, 2).reshape(batch, sequence, HIDDEN), o)


def feed_forward(x: Tensor, norm: Tensor, gate: Tensor, up: Tensor, down: Tensor) -> Tensor:
    """x + SwiGLU(norm(x)), x is [batch, sequence, hidden]."""
    h = F.rms_norm(x, (HIDDEN,), norm, EPS)
    return x + linear(F.silu(linear(h, gate).float()) * linear(h, up), down)


def head(x: Tensor, norm: Tensor, embedding: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy in nats of the next tokens."""
    logits = linear(F.rms_norm(x, (HIDDEN,), norm, EPS), embedding).float()
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def names(layer: int) -> tuple[list[str], list[str]]:
    """Parameter names of a block's two sublayers, in the order of the functions above."""
    block = f"model.layers.{layer}"
    attention_names = [f"{block}.self_attn.{matrix}_proj.weight" for matrix in "qkvo"]
    feed_forward_names = [f"{block}.mlp.{matrix}_proj.weight" for matrix in ("gate", "up", "down")]
    return (
        [f"{block}.input_layernorm.weight", *attention_names],
        [f"{block}.post_attention_layernorm.weight", *feed_forward_names],
    )


def shapes() -> dict[str, tuple[int, ...]]:
    result: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (CONFIG["vocab_size"], HIDDEN),
        "model.norm.weight": (HIDDEN,),
    }
    square, narrow = (HIDDEN, HIDDEN), (KV_HIDDEN, HIDDEN)
    widening, narrowing = (INTERMEDIATE, HIDDEN), (HIDDEN, INTERMEDIATE)
    for layer in range(LAYERS):
        attention_names, feed_forward_names = names(layer)
        result.update(zip(attention_names, [(HIDDEN,), square, narrow, narrow, square]))
        result.update(zip(feed_forward_names, [(HIDDEN,), widening, widening, narrowing]))
    return result


def initial_parameters() -> dict[str, nn.Parameter]:
    parameters = {}
    for name, shape in shapes().items():
        if len(shape) == 1:
            value = torch.ones(shape)
        else:
            deviation = 0.05 if "embed" in name else 0.5 * shape[1] ** -0.5
            if "o_proj" in name or "down_proj" in name:
                # What writes to the residual stream starts small, as in GPT-2.
                deviation /= math.sqrt(2 * LAYERS)
            value = torch.randn(shape) * deviation
        parameters[name] = nn.Parameter(value)
    return parameters


class Model:
    def __init__(self, parameters: dict[str, nn.Parameter], compiled: bool) -> None:
        self.parameters = parameters
        self.attention = torch.compile(attention, dynamic=False) if compiled else attention
        self.feed_forward = torch.compile(feed_forward, dynamic=False) if compiled else feed_forward
        self.head = torch.compile(head, dynamic=False) if compiled else head
        self.cos, self.sin = rotary_tables(CONFIG["rope_theta"], HEAD_DIM, SEQUENCE)

    def loss(self, tokens: Tensor, kept: list[bool]) -> Tensor:
        """Mean next-token cross-entropy in nats; `kept` says which of the sublayers run."""
        p = self.parameters
        x = F.embedding(tokens[:, :-1], p["model.embed_tokens.weight"])
        for layer in range(LAYERS):
            attention_names, feed_forward_names = names(layer)
            if kept[2 * layer]:
                x = self.attention(x, *(p[n] for n in attention_names), self.cos, self.sin)
            if kept[2 * layer + 1]:
                x = self.feed_forward(x, *(p[n] for n in feed_forward_names))
        return self.head(x, p["model.norm.weight"], p["model.embed_tokens.weight"], tokens[:, 1:])


def write_model(parameters: dict[str, nn.Parameter], folder: Path) -> None:
    tensors = {name: value.detach().to(torch.float16) for name, value in parameters.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    generation = {name: CONFIG[name] for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    generation |= {"do_sample": True, "temperature": 0.7, "top_p": 0.9}
    for name, value in (("config", CONFIG), ("generation_config", generation)):
        (folder / f"{name}.json").write_text(json.dumps(value, indent=2) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument(
        "--depth-drop", type=float, default=0.15, help="chance to skip a sublayer of the last block"
    )
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--float32", action="store_true", help="matrix products in float32")
    parser.add_argument("--eager", action="store_true", help="do without torch.compile")
    arguments = parser.parse_args()

    global PRODUCT_TYPE
    PRODUCT_TYPE = torch.float32 if arguments.float32 else torch.bfloat16
    torch.manual_seed(1)
    torch.set_num_threads(2)
    tokenizer = Tokenizer.from_file(str(arguments.folder / "tokenizer.json"))
    tokens = encode(tokenizer, arguments.work / "corpus/train.txt", CONFIG["bos_token_id"], CONFIG["eos_token_id"])
    parameters = initial_parameters()
    model = Model(parameters, compiled=not arguments.eager)
    count = sum(parameter.numel() for parameter in parameters.values())
    print(f"{count} parameters, {len(tokens)} tokens", flush=True)

    matrices = [p for n, p in parameters.items() if p.dim() == 2 and "embed" not in n]
    others = [p for n, p in parameters.items() if p.dim() == 1 or "embed" in n]
    muon = Muon(matrices, WEIGHT_DECAY)
    adam = torch.optim.AdamW(others, lr=ADAM_RATE, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    drop = [arguments.depth_drop * (i // 2) / (LAYERS - 1) for i in range(2 * LAYERS)]

    step, elapsed, order, at = 0, 0.0, torch.empty(0, dtype=torch.long), 0
    checkpoint = arguments.work / "checkpoint.pt"
    if arguments.resume:
        state = torch.load(checkpoint)
        for name, value in state["parameters"].items():
            parameters[name].data.copy_(value)
        adam.load_state_dict(state["adam"])
        muon.momentum = state["muon"]
        step, elapsed = state["step"], state["elapsed"]
        torch.manual_seed(1 + step)

    budget = arguments.minutes * 60
    last = saved = time.monotonic()
    mean = math.nan
    while elapsed < budget:
        if at + BATCH > len(order):
            # A new epoch: the row is cut anew, so that windows begin elsewhere.
            shift = int(torch.randint(SEQUENCE, ()))
            order = torch.randperm((len(tokens) - shift - 1) // SEQUENCE) * SEQUENCE + shift
            at = 0
        starts = order[at : at + BATCH].tolist()
        batch = torch.stack([tokens[start : start + SEQUENCE + 1] for start in starts])
        at += BATCH

        rate = schedule(elapsed / budget, WARMUP, FINAL_RATE)
        for group in adam.param_groups:
            group["lr"] = ADAM_RATE * rate
        kept = (torch.rand(2 * LAYERS) >= torch.tensor(drop)).tolist()
        loss = model.loss(batch, kept)
        for parameter in parameters.values():
            parameter.grad = None
        loss.backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        adam.step()
        muon.step(MUON_RATE * rate)

        step += 1
        mean = loss.item() if math.isnan(mean) else 0.98 * mean + 0.02 * loss.item()
        now = time.monotonic()
        # Compiling is not counted: it would eat the warm-up.
        elapsed += 0.0 if step <= 3 else now - last
        last = now
        if step % 50 == 0:
            print(f"{elapsed:7.1f} s  step {step:5d}  loss {mean:.4f}", flush=True)
        if now - saved > CHECKPOINT_SECONDS:
            saved = now
            state = {
                "parameters": {n: p.detach() for n, p in parameters.items()},
                "adam": adam.state_dict(),
                "muon": muon.momentum,
                "step": step,
                "elapsed": elapsed,
            }
            torch.save(state, checkpoint)
    write_model(parameters, arguments.folder)
    print(f"{step} steps, {step * BATCH * SEQUENCE} tokens, loss {mean:.4f}")


if __name__ == "__main__":
    main()
