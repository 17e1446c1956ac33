import type { EncoderArchitecture } from './encoder-architecture';
import { allBiases, classifier, commonDefaults, epsilonName } from './text-encoders';

/** ViT (arXiv 2010.11929) and what is named like it. */
function vitLike({
  modelType,
  family,
  tokens,
}: {
  readonly modelType: string;
  readonly family: string;
  /** Names of the tokens in front of the patches. */
  readonly tokens: readonly string[];
}): EncoderArchitecture {
  return {
    modelType,
    classes: { config: `${family}Config`, model: `${family}Model` },
    config: { names: epsilonName, defaults: () => commonDefaults },
    prefix: `${modelType}.`,
    embedding: {
      kind: 'image',
      patches: 'embeddings.patch_embeddings.projection',
      tokens: tokens.map((name) => `embeddings.${name}`),
      positions: 'embeddings.position_embeddings',
    },
    blocks: 'encoder.layer',
    attention: {
      norm: 'layernorm_before',
      queryKeyValue: {
        kind: 'separate',
        names: ['query', 'key', 'value'].map((name) => `attention.attention.${name}`),
      },
      output: 'attention.output.dense',
    },
    feedforward: {
      norm: 'layernorm_after',
      gateUp: { kind: 'separate', names: ['intermediate.dense'] },
      down: 'output.dense',
    },
    biases: ({ qkv_bias: queryKeyValue }) => ({ ...allBiases, queryKeyValue }),
    finalNorm: 'layernorm',
    heads: [
      {
        class: `${family}ForImageClassification`,
        auto: 'AutoModelForImageClassification',
        first: true,
        steps: [classifier],
      },
    ],
    modules: {
      layers: 'layers',
      attention: { layernorm_before: 'nn.Identity', attention: 'NoAttention' },
      feedforward: { layernorm_after: 'nn.Identity', mlp: 'NoFeedforward' },
      linears: {
        'attention.attention.query': 'attention.q_proj',
        'attention.attention.key': 'attention.k_proj',
        'attention.attention.value': 'attention.v_proj',
        'attention.output.dense': 'attention.o_proj',
        'intermediate.dense': 'mlp.fc1',
        'output.dense': 'mlp.fc2',
      },
    },
  };
}

/** Encoders of images. */
export const imageEncoders: readonly EncoderArchitecture[] = [
  vitLike({ modelType: 'vit', family: 'ViT', tokens: ['cls_token'] }),
  // arXiv 2012.12877
  vitLike({ modelType: 'deit', family: 'DeiT', tokens: ['cls_token', 'distillation_token'] }),
];
