import type { Architecture, Scales } from '../transformer/architecture';
import { derive, named } from '../transformer/derive';
import type { ConfigFields, ModelConfig } from '../transformer/model-config';
import {
  allBiases,
  attention,
  base,
  gptNames,
  fourTimesHidden,
  withoutEncoder,
} from './shared-parts';
import { postNorm, preNorm } from '../modules/wiring-names';

const gpt2Names = { ...gptNames, max_position_embeddings: 'n_positions' } as const;
const gpt2Defaults = (config: ConfigFields): ConfigFields => ({
  max_position_embeddings: 1024,
  intermediate_size: fourTimesHidden(config),
  hidden_act: 'gelu_new',
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
  scale_attn_weights: true,
  scale_attn_by_inverse_layer_idx: false,
});
const gpt2Scales = ({ scale_attn_weights: isScaled }: ModelConfig): Partial<Scales> =>
  isScaled === true ? {} : { attention: 1 };

/** If set, scores are also divided by the block's number, counted from 1. */
const gpt2Form = ({
  scale_attn_by_inverse_layer_idx: isDivided,
}: ModelConfig): Partial<Architecture> =>
  isDivided === true
    ? {
        dependsOnNumber: true,
        heads: (config, block) => {
          const headDim = config.hidden_size / config.num_attention_heads;
          return { scale: (gpt2Scales(config).attention ?? headDim ** -0.5) / (block + 1) };
        },
      }
    : {};
const gpt2EmbeddingAndHead = {
  prefixes: ['transformer.', ''],
  embedding: 'wte',
  positions: { name: 'wpe', offset: 0 },
  finalNorm: 'ln_f',
  blocks: 'h',
} as const;
const gpt2Feedforward = {
  wiring: preNorm('ln_2'),
  gateUp: ['mlp.c_fc'],
  down: 'mlp.c_proj',
} as const;

/** Names of OPT and its relatives. */
const optBranches = {
  attention: {
    ...attention,
    wiring: preNorm('self_attn_layer_norm'),
    output: 'self_attn.out_proj',
  },
  feedforward: {
    wiring: preNorm('final_layer_norm'),
    gateUp: ['fc1'],
    down: 'fc2',
  },
} as const;

const optEmbeddingAndHead = {
  prefixes: ['model.decoder.', 'decoder.'],
  embedding: 'embed_tokens',
  // Rows 0 and 1 belong to padding.
  positions: { name: 'embed_positions', offset: 2 },
  projections: { in: 'project_in', out: 'project_out' },
  blocks: 'layers',
} as const;

/** The model of 350 million weights norms sums, and has no last norm. */
function optForm(config: ModelConfig): Partial<Architecture> {
  const isPreNorm = config['do_layer_norm_before'] !== false;
  const { attention: first, feedforward: second } = optBranches;
  return {
    embeddingAndHead:
      isPreNorm && config['_remove_final_layer_norm'] !== true
        ? { ...optEmbeddingAndHead, finalNorm: 'final_layer_norm' }
        : optEmbeddingAndHead,
    ...(isPreNorm
      ? {}
      : {
          attention: { ...first, wiring: postNorm(first.wiring.norm) },
          feedforward: { ...second, wiring: postNorm(second.wiring.norm) },
        }),
  };
}

/** Families with learned position embeddings. */
export const learnedPositionFamilies: readonly Architecture[] = [
  derive({ ...base, ...withoutEncoder }, 'gpt2', {
    classes: { config: 'GPT2Config', model: 'GPT2LMHeadModel' },
    names: gpt2Names,
    defaults: gpt2Defaults,
    only: () => ({ add_cross_attention: false }),
    embeddingAndHead: gpt2EmbeddingAndHead,
    norm: 'layer',
    transposed: true,
    attention: {
      wiring: preNorm('ln_1'),
      queryKeyValue: { fused: 'attn.c_attn' },
      output: 'attn.c_proj',
    },
    feedforward: gpt2Feedforward,
    biases: () => allBiases(true),
    rotary: 'none',
    scales: gpt2Scales,
    form: gpt2Form,
  }),
  derive(base, named('opt', 'OPT'), {
    names: { intermediate_size: 'ffn_dim', hidden_act: 'activation_function' },
    defaults: { hidden_act: 'relu', rms_norm_eps: 1e-5, tie_word_embeddings: true },
    only: () => ({ layer_norm_elementwise_affine: true }),
    embeddingAndHead: optEmbeddingAndHead,
    norm: 'layer',
    ...optBranches,
    biases: (config) => allBiases(config.enable_bias),
    rotary: 'none',
    form: optForm,
  }),
  derive(base, named('biogpt', 'BioGpt'), {
    defaults: {
      hidden_act: 'gelu',
      max_position_embeddings: 1024,
      tie_word_embeddings: true,
    },
    // Overrides the file, because the layers ignore it.
    computed: () => ({ rms_norm_eps: 1e-5 }),
    embeddingAndHead: {
      prefixes: ['biogpt.'],
      embedding: 'embed_tokens',
      positions: { name: 'embed_positions', offset: 2 },
      finalNorm: 'layer_norm',
      blocks: 'layers',
      heads: ['output_projection'],
    },
    norm: 'layer',
    ...optBranches,
    biases: () => allBiases(true),
    rotary: 'none',
    scales: ({ scale_embedding: isScaled, hidden_size: hidden }) => ({
      embedding: isScaled ? Math.sqrt(hidden) : 1,
    }),
  }),
  derive({ ...base, ...withoutEncoder }, named('gpt_bigcode', 'GPTBigCode'), {
    names: gpt2Names,
    defaults: (config) => ({
      ...gpt2Defaults(config),
      hidden_act: 'gelu_pytorch_tanh',
    }),
    computed: (config) => ({
      num_key_value_heads:
        (config['multi_query'] ?? true) === true ? 1 : config['num_attention_heads'],
    }),
    only: () => ({ add_cross_attention: false }),
    embeddingAndHead: gpt2EmbeddingAndHead,
    norm: 'layer',
    attention: {
      wiring: preNorm('ln_1'),
      queryKeyValue: { fused: 'attn.c_attn', order: 'by-group' },
      output: 'attn.c_proj',
    },
    feedforward: gpt2Feedforward,
    biases: () => allBiases(true),
    rotary: 'none',
    scales: gpt2Scales,
  }),
  derive(base, named('gpt_neo', 'GPTNeo'), {
    names: {
      num_hidden_layers: 'num_layers',
      num_attention_heads: 'num_heads',
      hidden_act: 'activation_function',
      rms_norm_eps: 'layer_norm_epsilon',
      sliding_window: 'window_size',
    },
    defaults: (config) => ({
      ...gpt2Defaults(config),
      max_position_embeddings: 2048,
      sliding_window: 256,
    }),
    lists: { attention_layers: gptNeoLayer },
    embeddingAndHead: gpt2EmbeddingAndHead,
    norm: 'layer',
    attention: {
      wiring: preNorm('ln_1'),
      queryKeyValue: ['attn.attention.q_proj', 'attn.attention.k_proj', 'attn.attention.v_proj'],
      output: 'attn.attention.out_proj',
    },
    feedforward: gpt2Feedforward,
    biases: () => ({ ...allBiases(true), queryKeyValue: false }),
    rotary: 'none',
    slidingWindow: ({ attention_layers: layers, sliding_window: window }, block) =>
      Array.isArray(layers) && layers[block] === 'local' ? (window ?? undefined) : undefined,
    scales: () => ({ attention: 1 }),
  }),
];

/** `attention_types`: a list of [types, how often they are repeated]. */
function gptNeoLayer({ attention_types: given }: ConfigFields, block: number): string {
  const turns = (given ?? [[['global', 'local'], 12]]) as [string[], number][];
  const types = turns.flatMap(([kinds, times]) =>
    Array.from({ length: times }, () => kinds).flat(),
  );
  return types[block] ?? 'global';
}
