// Llama-shaped models of a chosen size whose weights are really on the disk, as safetensors and as GGUF.
import { randomFillSync } from 'node:crypto';
import { mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** @typedef {{name: string, ggufName: string, shape: number[]}} Tensor */

const hidden = 2048;
const inner = 5632;
const heads = 32;
const keyValueHeads = 4;
const vocabulary = 32000;
/** Bytes of an element in float16. */
const elementBytes = 2;
const alignment = 32;

/**
 * @param {number} blocks
 * @returns {Tensor[]}
 */
function listTensors(blocks) {
  const small = (hidden / heads) * keyValueHeads;
  return [
    {
      name: 'model.embed_tokens.weight',
      ggufName: 'token_embd.weight',
      shape: [vocabulary, hidden],
    },
    ...Array.from({ length: blocks }, (_, block) => {
      /** @type {(name: string, ggufName: string, ...shape: number[]) => Tensor} */
      const tensor = (name, ggufName, ...shape) => ({
        name: `model.layers.${block}.${name}.weight`,
        ggufName: `blk.${block}.${ggufName}.weight`,
        shape,
      });
      return [
        tensor('input_layernorm', 'attn_norm', hidden),
        tensor('self_attn.q_proj', 'attn_q', hidden, hidden),
        tensor('self_attn.k_proj', 'attn_k', small, hidden),
        tensor('self_attn.v_proj', 'attn_v', small, hidden),
        tensor('self_attn.o_proj', 'attn_output', hidden, hidden),
        tensor('post_attention_layernorm', 'ffn_norm', hidden),
        tensor('mlp.gate_proj', 'ffn_gate', inner, hidden),
        tensor('mlp.up_proj', 'ffn_up', inner, hidden),
        tensor('mlp.down_proj', 'ffn_down', hidden, inner),
      ];
    }).flat(),
    { name: 'model.norm.weight', ggufName: 'output_norm.weight', shape: [hidden] },
    { name: 'lm_head.weight', ggufName: 'output.weight', shape: [vocabulary, hidden] },
  ];
}

/** @param {Tensor} tensor */
function tensorBytes({ shape }) {
  return elementBytes * shape.reduce((product, size) => product * size, 1);
}

/**
 * Writes a Hugging Face folder in `shards` files.
 * @param {string} folder
 * @param {number} blocks
 * @param {number} shards
 */
export async function writeFolder(folder, blocks, shards) {
  await mkdir(folder, { recursive: true });
  const tensors = listTensors(blocks);
  const perShard = Math.ceil(tensors.length / shards);
  /** @type {Record<string, string>} */
  const weightMap = {};
  for (let shard = 0; shard < shards; shard++) {
    const own = tensors.slice(shard * perShard, (shard + 1) * perShard);
    const number = (/** @type {number} */ value) => String(value).padStart(5, '0');
    const name =
      shards === 1
        ? 'model.safetensors'
        : `model-${number(shard + 1)}-of-${number(shards)}.safetensors`;
    let end = 0;
    const entries = own.map(({ name: key, shape }) => {
      const begin = end;
      end += elementBytes * shape.reduce((product, size) => product * size, 1);
      return [key, { dtype: 'F16', shape, data_offsets: [begin, end] }];
    });
    const text = Buffer.from(
      JSON.stringify({ __metadata__: { format: 'pt' }, ...Object.fromEntries(entries) }),
    );
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    await writeData(join(folder, name), Buffer.concat([length, text]), end);
    for (const tensor of own) weightMap[tensor.name] = name;
  }
  const config = {
    model_type: 'llama', architectures: ['LlamaForCausalLM'], hidden_size: hidden, intermediate_size: inner,
    num_hidden_layers: blocks, num_attention_heads: heads, num_key_value_heads: keyValueHeads, vocab_size: vocabulary,
    max_position_embeddings: 2048, rms_norm_eps: 1e-5, rope_theta: 10000, tie_word_embeddings: false,
  }; // prettier-ignore
  await writeFile(join(folder, 'config.json'), JSON.stringify(config));
  if (shards > 1) {
    await writeFile(
      join(folder, 'model.safetensors.index.json'),
      JSON.stringify({ metadata: {}, weight_map: weightMap }),
    );
  }
}

/**
 * Writes a GGUF file of float16 weights.
 * @param {string} path
 * @param {number} blocks
 */
export async function writeGgufFile(path, blocks) {
  const tensors = listTensors(blocks);
  const text = (/** @type {string} */ value) =>
    Buffer.concat([uint64(value.length), Buffer.from(value)]);
  /** @type {[string, number | string][]} */
  const keys = [
    ['general.architecture', 'llama'], ['llama.context_length', 2048], ['llama.embedding_length', hidden],
    ['llama.block_count', blocks], ['llama.feed_forward_length', inner], ['llama.attention.head_count', heads],
    ['llama.attention.head_count_kv', keyValueHeads],
  ]; // prettier-ignore
  const epsilon = Buffer.alloc(4);
  epsilon.writeFloatLE(1e-5);
  let end = 0;
  const header = Buffer.concat([
    Buffer.from('GGUF'), uint32(3), uint64(tensors.length), uint64(keys.length + 1),
    ...keys.map(([key, value]) =>
      typeof value === 'string'
        ? Buffer.concat([text(key), uint32(8), text(value)])
        : Buffer.concat([text(key), uint32(4), uint32(value)]),
    ),
    Buffer.concat([text('llama.attention.layer_norm_rms_epsilon'), uint32(6), epsilon]),
    ...tensors.map((tensor) => {
      const begin = end;
      end += Math.ceil(tensorBytes(tensor) / alignment) * alignment;
      return Buffer.concat([
        text(tensor.ggufName), uint32(tensor.shape.length), ...[...tensor.shape].reverse().map(uint64), uint32(1), uint64(begin),
      ]);
    }),
  ]); // prettier-ignore
  const padding = Buffer.alloc((alignment - (header.length % alignment)) % alignment);
  await writeData(path, Buffer.concat([header, padding]), end);
}

/**
 * Random bytes after a header, so that no file system finds holes or repeats in them.
 * @param {string} path
 * @param {Buffer} header
 * @param {number} bytes
 */
async function writeData(path, header, bytes) {
  const handle = await open(path, 'w');
  try {
    await handle.write(header);
    const buffer = Buffer.alloc(16 << 20);
    for (let done = 0; done < bytes; done += buffer.length) {
      randomFillSync(buffer);
      await handle.write(buffer, 0, Math.min(buffer.length, bytes - done));
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** @param {number} value */
function uint32(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

/** @param {number} value */
function uint64(value) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}
