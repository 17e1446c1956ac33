import { bertRelatives } from './bert-relatives';
import { bertVariants } from './bert-variants';
import { debertas } from './deberta';
import type { EncoderArchitecture } from './encoder-architecture';
import { allBiases, classifier, epsilonName, textEncoders, commonDefaults } from './text-encoders';
import { turnedEncoders } from './turned-encoders';

/** Every family of encoders that a Hugging Face folder can be opened as. */
export const encoderArchitectures: readonly EncoderArchitecture[] = [
  ...textEncoders,
  ...bertRelatives,
  ...bertVariants,
  ...turnedEncoders,
  ...debertas,
  {
    modelType: 'vit',
    classes: { config: 'ViTConfig', model: 'ViTModel' },
    config: { names: epsilonName, defaults: () => commonDefaults },
    prefix: 'vit.',
    embedding: {
      kind: 'image',
      patches: 'embeddings.patch_embeddings.projection',
      classToken: 'embeddings.cls_token',
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
        class: 'ViTForImageClassification',
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
  },
];

/** The family of a `model_type`. */
export function knownEncoder(modelType: string): EncoderArchitecture | undefined {
  return encoderArchitectures.find((known) => known.modelType === modelType);
}
