// Models of full size that take no room: real headers, and data that is a hole in the file.
import { mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** @typedef {{name: string, shape: number[]}} Tensor */

/** Bytes of an element in bfloat16. */
const elementBytes = 2;

/** Llama 3.1 8B: 291 tensors, 16.1 GB. */
export const llama8b = {
  name: 'Llama 3.1 8B',
  shards: 4,
  config: {
    model_type: 'llama',
    hidden_size: 4096,
    intermediate_size: 14336,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    vocab_size: 128256,
    max_position_embeddings: 131072,
    rms_norm_eps: 1e-5,
    rope_theta: 500000,
    torch_dtype: 'bfloat16',
  },
  tensors: [
    { name: 'model.embed_tokens.weight', shape: [128256, 4096] },
    ...numbers(32).flatMap((layer) => {
      const at = `model.layers.${layer}`;
      return [
        { name: `${at}.input_layernorm.weight`, shape: [4096] },
        { name: `${at}.self_attn.q_proj.weight`, shape: [4096, 4096] },
        { name: `${at}.self_attn.k_proj.weight`, shape: [1024, 4096] },
        { name: `${at}.self_attn.v_proj.weight`, shape: [1024, 4096] },
        { name: `${at}.self_attn.o_proj.weight`, shape: [4096, 4096] },
        { name: `${at}.post_attention_layernorm.weight`, shape: [4096] },
        { name: `${at}.mlp.gate_proj.weight`, shape: [14336, 4096] },
        { name: `${at}.mlp.up_proj.weight`, shape: [14336, 4096] },
        { name: `${at}.mlp.down_proj.weight`, shape: [4096, 14336] },
      ];
    }),
    { name: 'model.norm.weight', shape: [4096] },
    { name: 'lm_head.weight', shape: [128256, 4096] },
  ],
};

/** A model with 256 experts per layer in the sizes of DeepSeek-V3, of an unknown architecture. */
export const experts = {
  name: '256 experts, 61 layers',
  shards: 163,
  config: {
    model_type: 'mixture-for-the-bench',
    hidden_size: 7168,
    num_hidden_layers: 61,
    num_attention_heads: 128,
    n_routed_experts: 256,
    num_experts_per_tok: 8,
    vocab_size: 129280,
  },
  tensors: [
    { name: 'model.embed_tokens.weight', shape: [129280, 7168] },
    ...numbers(61).flatMap((layer) => {
      const at = `model.layers.${layer}`;
      return [
        { name: `${at}.self_attn.q_proj.weight`, shape: [7168, 7168] },
        { name: `${at}.self_attn.k_proj.weight`, shape: [1024, 7168] },
        { name: `${at}.self_attn.v_proj.weight`, shape: [1024, 7168] },
        { name: `${at}.self_attn.o_proj.weight`, shape: [7168, 7168] },
        { name: `${at}.mlp.gate.weight`, shape: [256, 7168] },
        ...numbers(256).flatMap((expert) => [
          { name: `${at}.mlp.experts.${expert}.gate_proj.weight`, shape: [2048, 7168] },
          { name: `${at}.mlp.experts.${expert}.up_proj.weight`, shape: [2048, 7168] },
          { name: `${at}.mlp.experts.${expert}.down_proj.weight`, shape: [7168, 2048] },
        ]),
      ];
    }),
    { name: 'lm_head.weight', shape: [129280, 7168] },
  ],
};

/**
 * Writes a model's folder and gives the bytes that its files claim to have.
 * @param {string} folder
 * @param {{tensors: Tensor[], config: object, shards: number}} model
 */
export async function writeModel(folder, { tensors, config, shards }) {
  await mkdir(folder, { recursive: true });
  const perShard = Math.ceil(tensors.length / shards);
  /** @type {Record<string, string>} */
  const weightMap = {};
  let total = 0;
  for (let shard = 0; shard * perShard < tensors.length; shard++) {
    const own = tensors.slice(shard * perShard, (shard + 1) * perShard);
    const name =
      shards === 1
        ? 'model.safetensors'
        : `model-${label(shard + 1)}-of-${label(shards)}.safetensors`;
    total += await writeShard(join(folder, name), own);
    for (const tensor of own) weightMap[tensor.name] = name;
  }
  await writeFile(join(folder, 'config.json'), JSON.stringify(config));
  if (shards > 1) {
    const index = { metadata: { total_size: total }, weight_map: weightMap };
    await writeFile(join(folder, 'model.safetensors.index.json'), JSON.stringify(index));
  }
  return total;
}

/**
 * @param {string} path
 * @param {Tensor[]} tensors
 */
async function writeShard(path, tensors) {
  let end = 0;
  const header = Object.fromEntries(
    tensors.map(({ name, shape }) => {
      const begin = end;
      end += elementBytes * shape.reduce((product, size) => product * size, 1);
      return [name, { dtype: 'BF16', shape, data_offsets: [begin, end] }];
    }),
  );
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const file = await open(path, 'w');
  await file.write(Buffer.concat([length, json]));
  await file.truncate(8 + json.length + end);
  await file.close();
  return 8 + json.length + end;
}

/** @param {number} count */
function numbers(count) {
  return Array.from({ length: count }, (_, i) => i);
}

/** @param {number} number */
function label(number) {
  return String(number).padStart(5, '0');
}
