// Llama-shaped GGUF files with random weights in the types of Q4_K_M, with the tokenizer of another GGUF file.
import { randomFillSync } from 'node:crypto';
import { open } from 'node:fs/promises';

/**
 * @typedef {{
 *   hidden: number, inner: number, heads: number, keyValueHeads: number, headDim: number, blocks: number
 * }} Shape vocabulary and tokenizer are those of the other file
 */

const alignment = 32;
const valuesPerBlock = 256;
/** Numbers of ggml_type and gguf_metadata_value_type. */
const ggmlType = /** @type {const} */ ({ F32: 0, Q4_K: 12, Q6_K: 14 });
const valueType = /** @type {const} */ ({ uint32: 4, float32: 6, string: 8, array: 9 });
/** Bytes of values of fixed size, by type. */
const valueBytes = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];
/** Blocks that are written again and again. */
const tableBlocks = 1 << 14;

/**
 * @param {string} path
 * @param {Shape} shape
 * @param {string} tokenizerFile GGUF file whose `tokenizer.*` entries are copied
 */
export async function writeRandomGguf(path, shape, tokenizerFile) {
  const { hidden, inner, heads, keyValueHeads, headDim, blocks } = shape;
  const { entries: tokenizer, vocabulary } = await readTokenizer(tokenizerFile);
  const llama = Object.entries({
    context_length: 4096,
    embedding_length: hidden,
    block_count: blocks,
    feed_forward_length: inner,
    'rope.dimension_count': headDim,
    'attention.head_count': heads,
    'attention.head_count_kv': keyValueHeads,
    'attention.key_length': headDim,
    'attention.value_length': headDim,
  }).map(([key, value]) => uint32Entry(`llama.${key}`, value));
  const entries = [
    stringEntry('general.architecture', 'llama'),
    uint32Entry('general.alignment', alignment),
    ...llama,
    float32Entry('llama.attention.layer_norm_rms_epsilon', 1e-5),
    float32Entry('llama.rope.freq_base', 500_000),
    ...tokenizer,
  ];
  const tensors = listTensors(shape, vocabulary);
  let end = 0;
  const infos = tensors.map(({ name, shape: sizes, type }) => {
    const offset = end;
    end += align(tensorBytes(sizes, type));
    return Buffer.concat([
      ...[text(name), uint32(sizes.length), ...sizes.map(uint64)],
      ...[uint32(ggmlType[type]), uint64(offset)],
    ]);
  });
  const header = Buffer.concat([
    ...[Buffer.from('GGUF'), uint32(3), uint64(tensors.length), uint64(entries.length)],
    ...[...entries, ...infos],
  ]);
  const tables = { F32: ones(), Q4_K: q4kBlocks(hidden), Q6_K: q6kBlocks(hidden) };
  const handle = await open(path, 'w');
  try {
    await handle.write(padded(header));
    for (const { shape: sizes, type } of tensors) {
      const bytes = tensorBytes(sizes, type);
      for (let done = 0; done < bytes; done += tables[type].length) {
        await handle.write(tables[type], 0, Math.min(tables[type].length, bytes - done));
      }
      await handle.write(Buffer.alloc(align(bytes) - bytes));
    }
  } finally {
    await handle.close();
  }
}

/**
 * Tensors with their sizes in GGUF order, the input size first. As in Q4_K_M, half of the value and down projections
 * and the head have six bits.
 * @param {Shape} shape
 * @param {number} vocabulary
 * @returns {{name: string, shape: number[], type: keyof typeof ggmlType}[]}
 */
function listTensors({ hidden, inner, heads, keyValueHeads, headDim, blocks }, vocabulary) {
  const [queries, keys] = [heads * headDim, keyValueHeads * headDim];
  return [
    { name: 'token_embd.weight', shape: [hidden, vocabulary], type: 'Q4_K' },
    ...Array.from({ length: blocks }, (_, block) => {
      const finer = block % 2 === 0 ? 'Q6_K' : 'Q4_K';
      /** @type {[string, number[], keyof typeof ggmlType][]} */
      const own = [
        ['attn_norm', [hidden], 'F32'],
        ['attn_q', [hidden, queries], 'Q4_K'],
        ['attn_k', [hidden, keys], 'Q4_K'],
        ['attn_v', [hidden, keys], finer],
        ['attn_output', [queries, hidden], 'Q4_K'],
        ['ffn_norm', [hidden], 'F32'],
        ['ffn_gate', [hidden, inner], 'Q4_K'],
        ['ffn_up', [hidden, inner], 'Q4_K'],
        ['ffn_down', [inner, hidden], finer],
      ];
      return own.map(([name, sizes, type]) => ({
        ...{ name: `blk.${block}.${name}.weight`, shape: sizes, type },
      }));
    }).flat(),
    { name: 'output_norm.weight', shape: [hidden], type: 'F32' },
    { name: 'output.weight', shape: [hidden, vocabulary], type: 'Q6_K' },
  ];
}

/**
 * The `tokenizer.*` entries of a GGUF file as they are stored, and the number of its tokens.
 * @param {string} path
 */
async function readTokenizer(path) {
  const handle = await open(path, 'r');
  try {
    // Headers of models with 150,000 tokens take 6 MB.
    const bytes = Buffer.alloc(32 << 20);
    await handle.read(bytes, 0, bytes.length, 0);
    let at = 24;
    /** @param {number} type */
    const skipValue = (type) => {
      if (type === valueType.string) {
        at += 8 + Number(bytes.readBigUInt64LE(at));
      } else if (type === valueType.array) {
        const [element, count] = [bytes.readUInt32LE(at), Number(bytes.readBigUInt64LE(at + 4))];
        at += 12;
        for (let i = 0; i < count; i++) skipValue(element);
      } else {
        at += valueBytes[type] ?? 0;
      }
    };
    const entries = [];
    let vocabulary = 0;
    for (let left = Number(bytes.readBigUInt64LE(16)); left > 0; left--) {
      const start = at;
      const length = Number(bytes.readBigUInt64LE(at));
      const key = bytes.toString('utf8', at + 8, at + 8 + length);
      const value = at + 8 + length;
      at = value + 4;
      skipValue(bytes.readUInt32LE(value));
      if (key.startsWith('tokenizer.')) entries.push(Buffer.from(bytes.subarray(start, at)));
      if (key === 'tokenizer.ggml.tokens') vocabulary = Number(bytes.readBigUInt64LE(value + 8));
    }
    if (vocabulary === 0) throw new Error(`${path} has no tokens`);
    return { entries, vocabulary };
  } finally {
    await handle.close();
  }
}

/** Super-blocks of Q4_K: scale and minimum (float16), 12 bytes of equal 6-bit scales, 128 of random 4-bit values. */
const q4kBlocks = (/** @type {number} */ hidden) =>
  fillBlocks(144, (block) => {
    // All 6-bit scales are 32, so a weight is 32 · (d · q − dmin), whose mean is 0 for dmin = 7.5 · d.
    const d = standardDeviation(hidden) / (32 * 4.6);
    block.writeUInt16LE(half(d), 0);
    block.writeUInt16LE(half(7.5 * d), 2);
    block.fill(0xa0, 4, 12);
    block.fill(0, 12, 16);
  });

/** Super-blocks of Q6_K: 192 bytes of random 6-bit values, 16 equal scales, a scale (float16). */
const q6kBlocks = (/** @type {number} */ hidden) =>
  fillBlocks(210, (block) => {
    block.fill(32, 192, 208);
    block.writeUInt16LE(half(standardDeviation(hidden) / (32 * 18.5)), 208);
  });

/**
 * @param {number} size of a block in bytes
 * @param {(block: Buffer) => void} setScales
 */
function fillBlocks(size, setScales) {
  const table = randomFillSync(Buffer.alloc(tableBlocks * size));
  for (let at = 0; at < table.length; at += size) setScales(table.subarray(at, at + size));
  return table;
}

/** Deviation at which outputs are about as large as inputs. */
const standardDeviation = (/** @type {number} */ hidden) => 0.7 / Math.sqrt(hidden);

const ones = () => Buffer.from(new Float32Array(1 << 12).fill(1).buffer);

/**
 * @param {readonly number[]} sizes
 * @param {keyof typeof ggmlType} type
 */
function tensorBytes(sizes, type) {
  const count = sizes.reduce((product, size) => product * size, 1);
  if (type === 'F32') return 4 * count;
  return (count / valuesPerBlock) * (type === 'Q4_K' ? 144 : 210);
}

/**
 * Bits of a positive number as float16, rounded down.
 * @param {number} value
 */
function half(value) {
  const exponent = Math.max(-14, Math.floor(Math.log2(value)));
  const isNormal = value >= 2 ** -14;
  const fraction = Math.floor((value / 2 ** exponent - (isNormal ? 1 : 0)) * 1024);
  return ((isNormal ? exponent + 15 : 0) << 10) | fraction;
}

const align = (/** @type {number} */ position) => Math.ceil(position / alignment) * alignment;
const padded = (/** @type {Buffer} */ bytes) =>
  Buffer.concat([bytes, Buffer.alloc(align(bytes.length) - bytes.length)]);

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

const text = (/** @type {string} */ value) =>
  Buffer.concat([uint64(Buffer.byteLength(value)), Buffer.from(value)]);

/**
 * @param {string} key
 * @param {number} value
 */
const uint32Entry = (key, value) =>
  Buffer.concat([text(key), uint32(valueType.uint32), uint32(value)]);

/**
 * @param {string} key
 * @param {string} value
 */
const stringEntry = (key, value) =>
  Buffer.concat([text(key), uint32(valueType.string), text(value)]);

/**
 * @param {string} key
 * @param {number} value
 */
function float32Entry(key, value) {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return Buffer.concat([text(key), uint32(valueType.float32), bytes]);
}
