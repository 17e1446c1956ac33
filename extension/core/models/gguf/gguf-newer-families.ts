import type { GgufFamily } from './gguf-families';
import { readBlockCount } from './gguf-blocks';
import { ggufFields } from './gguf-fields';
import type { GgufKeys } from './gguf-keys';
import { deepseekExperts, granite } from './gguf-shared-traits';
import type { GgufTraits } from './gguf-traits';

const says =
  (key: string) =>
  (keys: GgufKeys): boolean =>
    (keys.numberIfPresent(key) ?? 0) > 0;

/** Which blocks have experts, where their tensors tell. */
const describeSparse: NonNullable<GgufTraits['describe']> = ({ keys, tensors, sizes }) => ({
  intermediate_size: sizes.innerSize,
  mlp_layer_types: Array.from({ length: readBlockCount(keys) }, (_, block) =>
    tensors.has(`blk.${block}.ffn_gate_inp.weight`) ? 'sparse' : 'dense',
  ),
});

/** Families of 2025 and later, and those whose architecture they share, by `general.architecture`. */
export const newerGgufFamilies: Readonly<Record<string, GgufFamily>> = {
  olmo2: {
    modelType: 'olmo2',
    others: [
      {
        modelType: 'olmo3',
        isOf: says(ggufFields.sliding_window),
        windows: { period: 4, ownRotary: 'unscaled', byNumber: true },
      },
    ],
  },
  granitemoe: {
    modelType: 'granitemoe',
    ...granite,
    others: [
      {
        modelType: 'granitemoeshared',
        isOf: says(ggufFields.shared_expert_intermediate_size),
        ...granite,
        splitsGateUp: true,
        describe: ({ keys }) => ({
          shared_intermediate_size: keys.number(ggufFields.shared_expert_intermediate_size),
        }),
      },
    ],
  },
  glm4: { modelType: 'glm4', takesFewerHeads: true },
  mistral4: {
    modelType: 'mistral4',
    isLatent: true,
    ...deepseekExperts,
    demands: () => ({ rope_interleave: true }),
  },
  afmoe: {
    modelType: 'afmoe',
    unturned: 4,
    windows: { period: 4, ownRotary: false, byNumber: true },
    fields: {
      num_dense_layers: 'leading_dense_block_count',
      n_shared_experts: 'expert_shared_count',
      routed_scaling_factor: 'expert_weights_scale',
      norm_topk_prob: 'expert_weights_norm',
    },
    settled: { mup_enabled: true },
    demands: () => ({ mup_enabled: true }),
  },
  'exaone-moe': {
    modelType: 'exaone_moe',
    windows: { period: 4, ownRotary: false },
    ...deepseekExperts,
  },
  hy_v3: {
    modelType: 'hy_v3',
    aliases: { 'exp_probs_b.bias': 'exp_probs_b' },
    sparseByTensors: true,
    describe: describeSparse,
    fields: {
      n_shared_experts: 'expert_shared_count',
      routed_scaling_factor: 'expert_weights_scale',
      norm_topk_prob: 'expert_weights_norm',
    },
  },
};
