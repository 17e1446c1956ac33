// Llama-shaped models of random weights, with the tokenizer of the sample model.
import { copyFile, mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { root } from '../../scripts/lib/repository.mjs';

/**
 * @typedef {{
 *   hidden: number, inner: number, heads: number, keyValueHeads: number, headDim: number,
 *   blocks: number, vocabulary: number
 * }} Shape
 */

const sample = join(root, 'samples', 'espalier-sample');
/** Numbers that are written again and again. */
const tableLength = 1 << 22;
const scale = 0.05;

/** @typedef {'F32' | 'F16'} Stored */

/** @type {Readonly<Record<Stored, {bytes: number, table: () => Float32Array | Uint16Array}>>} */
const forms = {
  F32: {
    bytes: 4,
    table: () =>
      Float32Array.from(
        { length: tableLength },
        () => scale * (Math.random() + Math.random() + Math.random() - 1.5),
      ),
  },
  F16: {
    bytes: 2,
    // Any sign and fraction, and exponents of 2^-7 to 2^-5.
    table: () =>
      Uint16Array.from(
        { length: tableLength },
        () => (below(2) << 15) | ((8 + below(3)) << 10) | below(1 << 10),
      ),
  },
};

/**
 * Writes a Hugging Face folder with tied embedding and head.
 * @param {string} folder
 * @param {Shape} shape
 * @param {Stored} [stored]
 */
export async function writeModel(folder, shape, stored = 'F32') {
  const { hidden, inner, heads, keyValueHeads, headDim, blocks, vocabulary } = shape;
  await mkdir(folder, { recursive: true });
  const [queries, keys] = [heads * headDim, keyValueHeads * headDim];
  const tensors = [
    { name: 'model.embed_tokens.weight', shape: [vocabulary, hidden] },
    ...Array.from({ length: blocks }, (_, block) =>
      Object.entries({
        input_layernorm: [hidden],
        'self_attn.q_proj': [queries, hidden],
        'self_attn.k_proj': [keys, hidden],
        'self_attn.v_proj': [keys, hidden],
        'self_attn.o_proj': [hidden, queries],
        post_attention_layernorm: [hidden],
        'mlp.gate_proj': [inner, hidden],
        'mlp.up_proj': [inner, hidden],
        'mlp.down_proj': [hidden, inner],
      }).map(([name, sizes]) => ({
        name: `model.layers.${block}.${name}.weight`,
        shape: sizes,
      })),
    ).flat(),
    { name: 'model.norm.weight', shape: [hidden] },
  ];
  let end = 0;
  const entries = tensors.map(({ name, shape: sizes }) => {
    const begin = end;
    end += forms[stored].bytes * sizes.reduce((product, size) => product * size, 1);
    return [name, { dtype: stored, shape: sizes, data_offsets: [begin, end] }];
  });
  const text = JSON.stringify({ __metadata__: { format: 'pt' }, ...Object.fromEntries(entries) });
  await writeWeights(join(folder, 'model.safetensors'), text, end, stored);
  const config = {
    model_type: 'llama', architectures: ['LlamaForCausalLM'], hidden_size: hidden, intermediate_size: inner,
    num_hidden_layers: blocks, num_attention_heads: heads, num_key_value_heads: keyValueHeads, head_dim: headDim,
    vocab_size: vocabulary, max_position_embeddings: 2048, rms_norm_eps: 1e-5, rope_theta: 10000,
    tie_word_embeddings: true,
  }; // prettier-ignore
  await writeFile(join(folder, 'config.json'), JSON.stringify(config));
  for (const name of ['tokenizer.json', 'tokenizer_config.json']) {
    await copyFile(join(sample, name), join(folder, name));
  }
}

/**
 * @param {string} path
 * @param {string} header
 * @param {number} bytes
 * @param {Stored} stored
 */
async function writeWeights(path, header, bytes, stored) {
  const numbers = Buffer.from(forms[stored].table().buffer);
  const text = Buffer.from(header.padEnd(Math.ceil(header.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const handle = await open(path, 'w');
  try {
    await handle.write(Buffer.concat([length, text]));
    for (let done = 0; done < bytes; done += numbers.length) {
      await handle.write(numbers, 0, Math.min(numbers.length, bytes - done));
    }
  } finally {
    await handle.close();
  }
}

/** @param {number} count */
function below(count) {
  return Math.floor(count * Math.random());
}
