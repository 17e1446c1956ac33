import type { ConfigFields } from '../transformer/model-config';
import type { EncoderArchitecture, HeadForm } from './encoder-architecture';
import { allBiases, classifier, commonDefaults, epsilonName } from './text-encoders';
import { preNorm } from '../modules/wiring-names';

/** Names of a family. */
export interface Named {
  readonly modelType: string;
  /** Prefix of its class names. */
  readonly family: string;
}

/** Image classification head of a family. */
export const classifies = (family: string, form: Pick<HeadForm, 'reads' | 'norm'>): HeadForm => ({
  class: `${family}ForImageClassification`,
  auto: 'AutoModelForImageClassification',
  steps: [classifier],
  ...form,
});

export const vitAttention = {
  wiring: preNorm('layernorm_before'),
  queryKeyValue: ['query', 'key', 'value'].map((name) => `attention.attention.${name}`),
  output: 'attention.output.dense',
} as const satisfies EncoderArchitecture['attention'];

export const vitFeedforward = {
  wiring: preNorm('layernorm_after'),
  gateUp: ['intermediate.dense'],
  down: 'output.dense',
} as const satisfies EncoderArchitecture['feedforward'];

/** Tensor name of the patch embedding. */
export const vitPatches = 'embeddings.patch_embeddings.projection';
/** Tensor name of the position embedding. */
export const vitPositions = 'embeddings.position_embeddings';
/** Tensor name of the class token. */
export const classToken = 'embeddings.cls_token';

/** Modules of transformers by the names in files. */
export const attentionLinears = {
  'attention.attention.query': 'attention.q_proj',
  'attention.attention.key': 'attention.k_proj',
  'attention.attention.value': 'attention.v_proj',
  'attention.output.dense': 'attention.o_proj',
};
export const feedforwardLinears = { 'intermediate.dense': 'mlp.fc1', 'output.dense': 'mlp.fc2' };

/** ViT (arXiv 2010.11929) and models with the same tensor names. */
export function vitLike(
  { modelType, family }: Named,
  /** Names of the tokens before the patches. */
  tokens: readonly string[],
  reads: HeadForm['reads'] = 'first',
  prefix = `${modelType}.`,
): EncoderArchitecture {
  return {
    modelType,
    classes: { config: `${family}Config`, model: `${family}Model` },
    config: { names: epsilonName, defaults: () => commonDefaults },
    prefix,
    embedding: { kind: 'image', patches: vitPatches, tokens, positions: vitPositions },
    blocks: 'encoder.layer',
    attention: vitAttention,
    feedforward: vitFeedforward,
    biases: ({ qkv_bias: queryKeyValue }) => ({ ...allBiases, queryKeyValue }),
    finalNorm: 'layernorm',
    unread: ['embeddings.mask_token'],
    heads: [classifies(family, { reads })],
    modules: {
      layers: 'layers',
      attention: { layernorm_before: 'nn.Identity', attention: 'NoAttention' },
      feedforward: { layernorm_after: 'nn.Identity', mlp: 'NoFeedforward' },
      linears: { ...attentionLinears, ...feedforwardLinears },
    },
  };
}

/** Stages of a backbone, one per remaining block. */
export function renumberedStages(config: ConfigFields, blocks: readonly number[]): ConfigFields {
  const stageName = (stage: number): string => (stage === 0 ? 'stem' : `stage${stage}`);
  const stageIn = (stage: number): number => blocks.filter((block) => block < stage).length;
  const mapped = (value: unknown, map: (one: unknown) => unknown): unknown =>
    Array.isArray(value) ? [...new Set(value.map((one) => map(one)))] : value;
  return {
    out_indices: mapped(config['out_indices'], (one) =>
      typeof one === 'number' && one >= 0 ? stageIn(one) : one,
    ),
    out_features: mapped(config['out_features'], (one) =>
      stageName(stageIn(Number(/^stage(\d+)$/.exec(String(one))?.[1] ?? 0))),
    ),
    stage_names: Array.isArray(config['stage_names'])
      ? [0, ...blocks.map((_, block) => block + 1)].map(stageName)
      : undefined,
  };
}
