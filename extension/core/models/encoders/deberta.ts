import type { EncoderArchitecture } from './encoder-architecture';
import type { ConfigFields } from '../transformer/model-config';
import type { RelativeShape } from '../parts/relative-scores';
import { postNorm } from '../modules/wiring-names';
import {
  allBiases,
  bertLike,
  bertSteps,
  classifier,
  forTokens,
  layout,
  maskedHead,
  textDefaults,
  textEmbedding,
} from './text-encoders';

/** `c2p` and `p2c`, as a list or in one text. */
function scoreKinds({ pos_att_type: kinds }: ConfigFields): readonly string[] {
  return typeof kinds === 'string'
    ? kinds.toLowerCase().split('|')
    : Array.isArray(kinds)
      ? kinds.map(String)
      : [];
}

/** Positions as far as the longest text unless config.json says otherwise. */
function relativeShape(config: ConfigFields): RelativeShape | undefined {
  if (config['relative_attention'] !== true) {
    return undefined;
  }
  const { max_relative_positions: most, position_buckets: count } = config;
  const { max_position_embeddings: positions } = config;
  const farthest = typeof most === 'number' && most > 0 ? most : Number(positions);
  const buckets = typeof count === 'number' && count > 0 ? count : undefined;
  const kinds = scoreKinds(config);
  return {
    span: buckets ?? farthest,
    buckets,
    farthest,
    contentToPosition: kinds.includes('c2p'),
    positionToContent: kinds.includes('p2c'),
  };
}

const debertaLayout = {
  ...layout,
  defaults: () => ({
    ...textDefaults,
    rms_norm_eps: 1e-7,
    type_vocab_size: 0,
    position_biased_input: true,
  }),
};

const relative = {
  table: 'encoder.rel_embeddings',
  norm: 'encoder.LayerNorm',
  keyBias: true,
  shape: relativeShape,
  hasNorm: ({ norm_rel_ebd: how }: ConfigFields) =>
    typeof how === 'string' && how.toLowerCase().includes('layer_norm'),
  isShared: (config: ConfigFields) => config['share_att_key'] === true,
} as const;

const withoutPositions = {
  kind: 'text',
  words: textEmbedding.words,
  types: textEmbedding.types,
  norm: textEmbedding.norm,
  projection: { name: 'embeddings.embed_proj', bias: false, beforeNorm: true },
} as const;

function deberta(modelType: string, family: string): EncoderArchitecture {
  const base = bertLike({ modelType, family, prefix: 'deberta.' });
  return {
    ...base,
    config: {
      ...debertaLayout,
      only: () => ({ legacy: true, conv_kernel_size: 0, talking_head: false }),
    },
    embedding: { ...withoutPositions, positions: textEmbedding.positions },
    scales: (config) => ({
      attention:
        ((config.hidden_size / config.num_attention_heads) * (1 + scoreKinds(config).length)) **
        -0.5,
    }),
    form: (config) =>
      config['position_biased_input'] === false ? { embedding: withoutPositions } : {},
    heads: [
      maskedHead(family, bertSteps()),
      {
        class: `${family}ForSequenceClassification`,
        auto: 'AutoModelForSequenceClassification',
        reads: 'first',
        steps: [{ name: 'pooler.dense', out: 'hidden', activation: 'gelu' }, classifier],
      },
      forTokens(family),
    ],
  };
}

/** DeBERTa (arXiv 2006.03654), and versions 2 and 3 of it (arXiv 2111.09543). */
export const debertas: readonly EncoderArchitecture[] = [
  {
    ...deberta('deberta-v2', 'DebertaV2'),
    attention: {
      queryKeyValue: [
        'attention.self.query_proj',
        'attention.self.key_proj',
        'attention.self.value_proj',
      ],
      output: 'attention.output.dense',
      wiring: postNorm('attention.output.LayerNorm'),
      parts: {
        relativePositions: {
          ...relative,
          key: 'attention.self.pos_key_proj',
          query: 'attention.self.pos_query_proj',
        },
      },
    },
  },
  {
    ...deberta('deberta', 'Deberta'),
    attention: {
      queryKeyValue: { fused: 'attention.self.in_proj', order: 'by-group' },
      output: 'attention.output.dense',
      wiring: postNorm('attention.output.LayerNorm'),
      parts: {
        queryValueBiases: {
          query: 'attention.self.q_bias',
          value: 'attention.self.v_bias',
        },
        relativePositions: {
          ...relative,
          key: 'attention.self.pos_proj',
          query: 'attention.self.pos_q_proj',
          keyBias: false,
          shape: (config: ConfigFields): RelativeShape | undefined => {
            const shape = relativeShape(config);
            return shape && { ...shape, span: shape.farthest, buckets: undefined };
          },
          hasNorm: () => false,
          isShared: () => false,
        },
      },
    },
    biases: () => ({ ...allBiases, queryKeyValue: false }),
  },
];
