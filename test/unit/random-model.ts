import { writeFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Sizes of a random model made for one test. */
export interface RandomModelShape {
  readonly seed: number;
  readonly blocks: number;
  readonly hidden?: number;
  /** Size of the feed-forwards. */
  readonly inner?: number;
  readonly vocabulary?: number;
  /** Spread of the head's weights: more makes the model surer of few ids. */
  readonly headSpread?: number;
  /** `cohere` has parallel branches and one norm for both, `mixtral` MoE layers of three experts. */
  readonly modelType?: 'llama' | 'qwen2' | 'mistral' | 'cohere' | 'mixtral';
}

const defaultHidden = 16;
const defaultInner = 24;
const defaultVocabulary = 40;
const heads = 4;
const keyValueHeads = 2;
const experts = 3;

export const randomModelVocabulary = defaultVocabulary;

/** Numbers of roughly normal distribution, from a seed. Some models have millions: nothing is allocated for one. */
function normals(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    let sum = -6;
    for (let i = 0; i < 12; i++) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      sum += state / 2 ** 32;
    }
    return sum;
  };
}

/** Writes a float32 safetensors file. */
function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, { shape: readonly number[]; data: Float32Array }>,
): void {
  let offset = 0;
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } };
  for (const [name, { shape, data }] of tensors) {
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + data.byteLength] };
    offset += data.byteLength;
  }
  const json = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(json.length));
  const parts = [...tensors.values()].map(({ data }) =>
    Buffer.from(data.buffer, data.byteOffset, data.byteLength),
  );
  writeFileSync(path, Buffer.concat([size, json, ...parts]));
}

/** Makes a model folder of random weights in a new temporary folder and returns its path. */
export async function makeRandomModel(shape: RandomModelShape): Promise<string> {
  const { seed, blocks, hidden = defaultHidden, inner = defaultInner, modelType = 'llama' } = shape;
  const headDim = hidden / heads;
  const { vocabulary = defaultVocabulary, headSpread } = shape;
  const folder = await mkdtemp(join(tmpdir(), 'espalier-random-model-'));
  const normal = normals(seed);
  const tensors = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  const add = (name: string, size: readonly number[], mean = 0, spread = 0.25): void => {
    const length = size.reduce((product, n) => product * n, 1);
    const data = new Float32Array(length).map(() => mean + spread * normal());
    tensors.set(name, { shape: size, data });
  };
  add('model.embed_tokens.weight', [vocabulary, hidden], 0, 1);
  for (let block = 0; block < blocks; block++) {
    const prefix = `model.layers.${block}.`;
    add(`${prefix}input_layernorm.weight`, [hidden], 1, 0.1);
    for (const [name, count] of [
      ['q', heads],
      ['k', keyValueHeads],
      ['v', keyValueHeads],
    ] as const) {
      add(`${prefix}self_attn.${name}_proj.weight`, [count * headDim, hidden]);
      if (modelType === 'qwen2') {
        add(`${prefix}self_attn.${name}_proj.bias`, [count * headDim]);
      }
    }
    add(`${prefix}self_attn.o_proj.weight`, [hidden, hidden]);
    if (modelType !== 'cohere') {
      add(`${prefix}post_attention_layernorm.weight`, [hidden], 1, 0.1);
    }
    if (modelType === 'mixtral') {
      add(`${prefix}block_sparse_moe.gate.weight`, [experts, hidden]);
      for (let expert = 0; expert < experts; expert++) {
        const own = `${prefix}block_sparse_moe.experts.${expert}.`;
        add(`${own}w1.weight`, [inner, hidden]);
        add(`${own}w3.weight`, [inner, hidden]);
        add(`${own}w2.weight`, [hidden, inner]);
      }
    } else {
      add(`${prefix}mlp.gate_proj.weight`, [inner, hidden]);
      add(`${prefix}mlp.up_proj.weight`, [inner, hidden]);
      add(`${prefix}mlp.down_proj.weight`, [hidden, inner]);
    }
  }
  add('model.norm.weight', [hidden], 1, 0.1);
  add('lm_head.weight', [vocabulary, hidden], 0, headSpread);
  writeSafetensors(join(folder, 'model.safetensors'), tensors);
  const config = {
    model_type: modelType,
    vocab_size: vocabulary,
    hidden_size: hidden,
    intermediate_size: inner,
    num_hidden_layers: blocks,
    num_attention_heads: heads,
    num_key_value_heads: keyValueHeads,
    max_position_embeddings: 64,
    rms_norm_eps: 1e-6,
    rope_theta: 10_000,
    tie_word_embeddings: false,
    ...(modelType === 'mistral' ? { sliding_window: 5 } : {}),
    ...(modelType === 'mixtral' ? { num_local_experts: experts, num_experts_per_tok: 2 } : {}),
    ...(modelType === 'cohere' ? { logit_scale: 1 } : {}),
  };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config, undefined, 2));
  return folder;
}
