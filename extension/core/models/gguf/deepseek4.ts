import { say } from '../../message';
import { mixtureType, defaultCompressionRates, rateType } from '../families/mixtures/deepseek-v4';
import type { ConfigFields } from '../transformer/model-config';
import { readBlockCount } from './gguf-blocks';
import { gatingKey, queryLatent } from './gguf-fields';
import type { GgufKeys } from './gguf-keys';
import { sharedExpertFields } from './gguf-traits';
import type { GgufFamily, GgufSource } from './gguf-traits';

/** Compression rate per block: tokens per run, 0 without compression. */
export const ratiosKey = 'attention.compress_ratios';
/** Number of leading blocks whose experts are looked up in a table. */
export const tableBlocks = 'hash_layer_count';
/** Bound on gate and up activations of experts. */
export const boundKey = 'swiglu_clamp_exp';
/** Bound on activations of the shared expert; llama.cpp uses `boundKey` if it is absent. */
const sharedBoundKey = 'swiglu_clamp_shexp';
/** Rotary base of blocks that have runs. */
export const compressedTheta = 'attention.compress_rope_freq_base';
/** Value of `expert_gating_func` for the square root of the softplus of the router scores. */
export const rootSoftplus = 4;

const useFolder = say`Use the Hugging Face folder of the model.`;

/**
 * Entries of a list for the model's blocks. Entries for further-token blocks after them are
 * ignored.
 */
async function readBlockList(keys: GgufKeys, key: string): Promise<readonly number[]> {
  const [list, count] = [await keys.list(key), readBlockCount(keys)];
  return list.length >= count
    ? list.slice(0, count)
    : keys.fault(
        keys.name(key),
        'list-length-mismatch',
        say`It has ${list.length} entries for ${count} blocks.`,
      );
}

/** Clamp limit shared by all blocks. */
async function readBound(keys: GgufKeys, key: string): Promise<number> {
  const [first = 0, ...others] = keys.isList(key)
    ? await readBlockList(keys, key)
    : [keys.number(key)];
  return others.every((other) => other === first)
    ? first
    : keys.fault(
        keys.name(key),
        'gguf-blocks-differ',
        say`Blocks with different dimensions are not supported.`,
        useFolder,
      );
}

/** Clamp limit shared by all experts. */
async function readClamp(keys: GgufKeys): Promise<number> {
  const bound = await readBound(keys, boundKey);
  const shared = keys.has(sharedBoundKey) ? await readBound(keys, sharedBoundKey) : bound;
  return shared === bound
    ? bound
    : keys.fault(
        keys.name(sharedBoundKey),
        'gguf-values-differ',
        say`It is ${shared}, expected ${bound} as in ${keys.name(boundKey)}.`,
        useFolder,
      );
}

async function describe({ keys }: GgufSource): Promise<ConfigFields> {
  for (const [key, value, known] of [
    [gatingKey, keys.number(gatingKey), rootSoftplus],
    ['expert_weights_norm', keys.flagIfPresent('expert_weights_norm'), true],
  ] as const) {
    if (value !== known) {
      keys.fault(
        keys.name(key),
        'value-unexpected',
        say`It is ${String(value)}, expected ${String(known)}.`,
        useFolder,
      );
    }
  }
  const types = (await readBlockList(keys, ratiosKey)).map(
    (ratio, block) =>
      rateType(ratio) ??
      keys.fault(
        keys.name(ratiosKey),
        'block-value-unsupported',
        say`It has ${ratio} for block ${block}, expected ${`0, ${Object.values(defaultCompressionRates).join(' or ')}`}.`,
        useFolder,
      ),
  );
  const tables = { num_hash_layers: keys.number(tableBlocks) };
  return {
    layer_types: types,
    mlp_layer_types: types.map((_, block) => mixtureType(tables, block)),
    rope_theta: keys.number('rope.freq_base'),
    swiglu_limit: await readClamp(keys),
  };
}

const rotationGroupSize = 64;

/** DeepSeek-V4 (src/models/deepseek4.cpp). */
export const deepseek4: GgufFamily = {
  modelType: 'deepseek_v4',
  readsFactors: false,
  normsExpertWeights: true,
  windows: { period: 0, ownRotary: false },
  fields: {
    ...sharedExpertFields,
    q_lora_rank: queryLatent,
    qk_rope_head_dim: 'rope.dimension_count',
    compress_rope_theta: compressedTheta,
    o_groups: 'attention.output_group_count',
    o_lora_rank: 'attention.output_lora_rank',
    index_n_heads: 'attention.indexer.head_count',
    index_head_dim: 'attention.indexer.key_length',
    index_topk: 'attention.indexer.top_k',
    hc_mult: 'hyper_connection.count',
    hc_sinkhorn_iters: 'hyper_connection.sinkhorn_iterations',
    hc_eps: 'hyper_connection.epsilon',
  },
  describe,
  demands: ({ index_head_dim: size }: ConfigFields) => ({
    hc_mult: 4,
    tie_word_embeddings: false,
    scoring_func: 'sqrtsoftplus',
    // llama.cpp rotates the indexer's keys in groups of this many dimensions.
    index_head_dim: rotationGroupSize * Math.ceil(Number(size) / rotationGroupSize),
  }),
};
