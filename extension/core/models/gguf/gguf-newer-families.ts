import type { GgufFamily, GgufTraits } from './gguf-traits';
import { readBlockCount } from './gguf-blocks';
import { gatingOf, sigmoid } from './gguf-demands';
import { denseBlocks, ggufFields, hasRms, layerNormEpsilon, rotarySections } from './gguf-fields';
import type { GgufKeys } from './gguf-keys';
import { deepseekExperts, granite, latentOfDeepseek, sharedExpertFields } from './gguf-traits';

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

/** llama.cpp looks for a head of its own, and for no divisors of the rotary frequencies. */
const headAlone = {
  readsFactors: false,
  demands: () => ({ tie_word_embeddings: false }),
} as const;

/** Families of 2025 and later, and those whose architecture they share, by `general.architecture`. */
export const newerGgufFamilies: Readonly<Record<string, GgufFamily>> = {
  olmo2: {
    modelType: 'olmo2',
    ...headAlone,
    others: [
      {
        modelType: 'olmo3',
        ...headAlone,
        isOf: says(ggufFields.sliding_window),
        windows: { period: 4, ownRotary: 'unscaled' },
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
  glm4: {
    modelType: 'glm4',
    takesFewerHeads: true,
    others: [
      {
        modelType: 'glm4v_text',
        isOf: (keys) => keys.isList(rotarySections),
        takesFewerHeads: true,
        halved: true,
        hasSections: true,
      },
    ],
  },
  mellum: {
    modelType: 'mellum',
    ...headAlone,
    normsExpertWeights: true,
    windows: { period: 4, ownRotary: 'unscaled', mayLack: true },
  },
  cohere2moe: {
    modelType: 'cohere2_moe',
    readsFactors: false,
    windows: { period: 4, fullFirst: true, ownRotary: false },
    mayHaveRms: true,
    fields: {
      logit_scale: 'logit_scale',
      num_shared_experts: 'expert_shared_count',
      first_k_dense_replace: denseBlocks,
    },
    saysGating: true,
    describe: ({ keys, sizes }) => ({
      intermediate_size: keys.number(ggufFields.moe_intermediate_size),
      ...(hasRms(keys)
        ? {}
        : { rms_norm_eps: null, layer_norm_eps: keys.number(layerNormEpsilon) }),
      expert_selection_fn: (gatingOf(keys) ?? sigmoid) === sigmoid ? 'sigmoid' : 'softmax',
      mlp_layer_types: sizes.innerSizesOf.map((_, block) =>
        block < keys.number(denseBlocks) ? 'dense' : 'sparse',
      ),
    }),
    demands: () => ({ shared_expert_combination_strategy: 'average' }),
  },
  apertus: { modelType: 'apertus', demands: headAlone.demands },
  mistral4: {
    modelType: 'mistral4',
    ...latentOfDeepseek,
    demands: () => ({ rope_interleave: true }),
  },
  afmoe: {
    modelType: 'afmoe',
    readsFactors: false,
    unturned: 4,
    windows: { period: 4, ownRotary: false },
    fields: { num_dense_layers: denseBlocks, ...sharedExpertFields },
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
    readsFactors: false,
    aliases: { 'exp_probs_b.bias': 'exp_probs_b' },
    sparseByTensors: true,
    describe: describeSparse,
    fields: sharedExpertFields,
  },
};
