// A Qwen3-MoE GGUF file of a chosen number of blocks with random weights in one quantization type.
import { randomFillSync } from 'node:crypto';
import { open } from 'node:fs/promises';

/** Sizes by type: those of Qwen3-30B-A3B, and of gpt-oss-20b in MXFP4, except numbers of blocks and vocabularies. */
const shapes = {
  Q4_K: {
    ...{ hidden: 2048, heads: 32, keyValueHeads: 4, headDim: 128 },
    ...{ experts: 128, used: 8, inner: 768 },
  },
  MXFP4: {
    ...{ hidden: 2880, heads: 64, keyValueHeads: 8, headDim: 64 },
    ...{ experts: 32, used: 4, inner: 2880 },
  },
};
const vocabulary = 32_768;
const alignment = 32;

/** Weights and bytes of a quantization block, its number in ggml, and how its scales are made of random bytes. */
const types = {
  Q4_K: {
    ...{ weights: 256, bytes: 144, id: 12 },
    // d and dmin in float16: about ±0.05.
    scale: (/** @type {Buffer} */ block) => block.writeUInt32LE(0x1380_0800, 0),
  },
  MXFP4: {
    ...{ weights: 32, bytes: 17, id: 39 },
    scale: (/** @type {Buffer} */ block) => block.writeUInt8(119, 0),
  },
};
/** @typedef {keyof typeof types} TypeName */
/** @typedef {{name: string, shape: number[], type: TypeName | 'F32', value?: number}} Tensor */

/**
 * @param {number} blocks
 * @param {TypeName} type
 * @returns {Tensor[]}
 */
function listTensors(blocks, type) {
  const { hidden, heads, keyValueHeads, headDim, experts, inner } = shapes[type];
  /** @type {(name: string, shape: number[], own?: TypeName | 'F32', value?: number) => Tensor} */
  const tensor = (name, shape, own = type, value) => ({
    name: `${name}.weight`,
    ...{ shape, type: own },
    ...(value === undefined ? {} : { value }),
  });
  return [
    tensor('token_embd', [vocabulary, hidden]),
    ...Array.from({ length: blocks }, (_, block) => {
      const blockName = (/** @type {string} */ name) => `blk.${block}.${name}`;
      return [
        tensor(blockName('attn_norm'), [hidden], 'F32', 1),
        tensor(blockName('attn_q'), [heads * headDim, hidden]),
        tensor(blockName('attn_k'), [keyValueHeads * headDim, hidden]),
        tensor(blockName('attn_v'), [keyValueHeads * headDim, hidden]),
        tensor(blockName('attn_output'), [hidden, heads * headDim]),
        tensor(blockName('attn_q_norm'), [headDim], 'F32', 1),
        tensor(blockName('attn_k_norm'), [headDim], 'F32', 1),
        tensor(blockName('ffn_norm'), [hidden], 'F32', 1),
        tensor(blockName('ffn_gate_inp'), [experts, hidden], 'F32'),
        tensor(blockName('ffn_gate_exps'), [experts, inner, hidden]),
        tensor(blockName('ffn_up_exps'), [experts, inner, hidden]),
        tensor(blockName('ffn_down_exps'), [experts, hidden, inner]),
      ];
    }).flat(),
    tensor('output_norm', [hidden], 'F32', 1),
    tensor('output', [vocabulary, hidden]),
  ];
}

/** @param {Tensor} tensor */
function tensorBytes({ shape, type }) {
  const count = shape.reduce((product, size) => product * size, 1);
  return type === 'F32' ? 4 * count : (count / types[type].weights) * types[type].bytes;
}

/**
 * @param {string} path
 * @param {number} blocks
 * @param {TypeName} type
 */
export async function writeMoeGguf(path, blocks, type) {
  const tensors = listTensors(blocks, type);
  const keys = headerKeys(blocks, type);
  let end = 0;
  const header = Buffer.concat([
    ...[Buffer.from('GGUF'), uint32(3), uint64(tensors.length), uint64(keys.length), ...keys],
    ...tensors.map((tensor) => {
      const begin = end;
      end += aligned(tensorBytes(tensor));
      const id = tensor.type === 'F32' ? 0 : types[tensor.type].id;
      const shape = [...tensor.shape].reverse().map(uint64);
      return Buffer.concat([
        ...[text(tensor.name), uint32(shape.length), ...shape, uint32(id), uint64(begin)],
      ]);
    }),
  ]);
  const handle = await open(path, 'w');
  try {
    let position = aligned(header.length);
    await handle.write(header, 0, header.length, 0);
    for (const tensor of tensors) {
      await writeTensor(handle, tensor, position);
      position += aligned(tensorBytes(tensor));
    }
    await handle.truncate(position);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * @param {import('node:fs/promises').FileHandle} handle
 * @param {Tensor} tensor
 * @param {number} position
 */
async function writeTensor(handle, tensor, position) {
  const bytes = tensorBytes(tensor);
  const unit = tensor.type === 'F32' ? 4 : types[tensor.type].bytes;
  const chunk = Math.floor((8 << 20) / unit) * unit;
  for (let done = 0; done < bytes; done += chunk) {
    const buffer = Buffer.alloc(Math.min(chunk, bytes - done));
    if (tensor.type !== 'F32') {
      randomFillSync(buffer);
    }
    for (let at = 0; at < buffer.length; at += unit) {
      if (tensor.type === 'F32') {
        buffer.writeFloatLE(tensor.value ?? (Math.random() - 0.5) / 10, at);
      } else {
        types[tensor.type].scale(buffer.subarray(at, at + unit));
      }
    }
    await handle.write(buffer, 0, buffer.length, position + done);
  }
}

/**
 * @param {number} blocks
 * @param {TypeName} type
 */
function headerKeys(blocks, type) {
  const { hidden, heads, keyValueHeads, headDim, experts, used, inner } = shapes[type];
  const integers = Object.entries({
    ...{
      block_count: blocks,
      context_length: 4096,
      embedding_length: hidden,
      feed_forward_length: 3 * hidden,
    },
    ...{ 'attention.head_count': heads, 'attention.head_count_kv': keyValueHeads },
    ...{ 'attention.key_length': headDim, 'attention.value_length': headDim },
    ...{ expert_count: experts, expert_used_count: used, expert_feed_forward_length: inner },
  });
  const floats = Object.entries({
    'attention.layer_norm_rms_epsilon': 1e-6,
    'rope.freq_base': 1e6,
  });
  const names = Array.from({ length: vocabulary }, (_, i) => text(`t${i}`));
  const kinds = Array.from({ length: vocabulary }, () => uint32(1));
  return [
    entry('general.architecture', 8, text('qwen3moe')),
    ...integers.map(([key, value]) => entry(`qwen3moe.${key}`, 4, uint32(value))),
    ...floats.map(([key, value]) => entry(`qwen3moe.${key}`, 6, float32(value))),
    entry('tokenizer.ggml.model', 8, text('gpt2')),
    entry('tokenizer.ggml.pre', 8, text('qwen2')),
    entry('tokenizer.ggml.tokens', 9, Buffer.concat([uint32(8), uint64(vocabulary), ...names])),
    entry('tokenizer.ggml.token_type', 9, Buffer.concat([uint32(5), uint64(vocabulary), ...kinds])),
    entry('tokenizer.ggml.merges', 9, Buffer.concat([uint32(8), uint64(1), text('t 0')])),
  ];
}

/** @type {(key: string, type: number, value: Buffer) => Buffer} */
const entry = (key, type, value) => Buffer.concat([text(key), uint32(type), value]);
/** @type {(bytes: number) => number} */
const aligned = (bytes) => Math.ceil(bytes / alignment) * alignment;
/** @type {(value: string) => Buffer} */
const text = (value) => Buffer.concat([uint64(value.length), Buffer.from(value)]);

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

/** @param {number} value */
function float32(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}
