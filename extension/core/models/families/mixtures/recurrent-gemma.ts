import type { Architecture, PartKind } from '../../transformer/architecture';
import type { ConfigFields } from '../../transformer/model-config';
import { attentionBiases, base, windowEverywhere, optionalNumber } from '../shared-parts';
import { gemmaDefaults } from '../gemma';
import { preNorm } from '../../modules/wiring-names';

const isRecurrent = (type: unknown): boolean => type === 'recurrent';

/** Kind of a block, from the repeated list. */
function blockKind({ block_types: types }: ConfigFields, block: number): unknown {
  const pattern: readonly unknown[] = Array.isArray(types)
    ? types
    : ['recurrent', 'recurrent', 'attention'];
  return pattern[block % pattern.length];
}

const firstPart = (config: ConfigFields, block: number): PartKind =>
  isRecurrent(blockKind(config, block)) ? 'mixer' : 'attention';

/** The nearest number with 8 bits of precision, as transformers keeps the factor on embeddings. */
function roundToBfloat16(x: number): number {
  const bits = new Uint32Array(Float32Array.of(x).buffer);
  const [whole = 0] = bits;
  bits[0] = (whole + 0x7f_ff + ((whole >>> 16) & 1)) & 0xff_ff_00_00;
  return new Float32Array(bits.buffer)[0] ?? x;
}

/** Griffin (arXiv 2402.19427) as Google publishes it. */
export const recurrentGemma: Architecture = {
  ...base,
  modelType: 'recurrent_gemma',
  classes: { config: 'RecurrentGemmaConfig', model: 'RecurrentGemmaForCausalLM' },
  config: {
    names: {
      hidden_act: 'hidden_activation',
      sliding_window: 'attention_window_size',
      final_logit_softcapping: 'logits_soft_cap',
    },
    defaults: () => ({
      hidden_act: gemmaDefaults.hidden_act,
      tie_word_embeddings: true,
      sliding_window: 2048,
      final_logit_softcapping: 30,
      partial_rotary_factor: 0.5,
    }),
    // transformers halves it.
    computed: ({ intermediate_size: both }) => ({
      intermediate_size: typeof both === 'number' ? Math.floor(both / 2) : both,
    }),
    pruned: (config, blocks) =>
      blocks.every((source, block) => blockKind(config, source) === blockKind(config, block))
        ? {}
        : { block_types: blocks.map((source) => blockKind(config, source)) },
  },
  embeddingAndHead: { ...base.embeddingAndHead, finalNorm: 'final_norm' },
  norm: 'rms-offset',
  attention: {
    wiring: preNorm('temporal_pre_norm'),
    queryKeyValue: ['q_proj', 'k_proj', 'v_proj'].map((name) => `temporal_block.${name}`),
    output: 'temporal_block.o_proj',
  },
  feedforward: {
    wiring: preNorm('channel_pre_norm'),
    gateUp: ['mlp_block.gate_proj', 'mlp_block.up_proj'],
    down: 'mlp_block.down_proj',
  },
  mixer: {
    wiring: preNorm('temporal_pre_norm'),
    module: 'temporal_block',
    form: (config) => ({
      kind: 'gated-recurrence',
      width: optionalNumber(config, 'lru_width', config.hidden_size),
      heads: config.num_attention_heads,
      kernel: optionalNumber(config, 'conv1d_width', 4),
      activation: config.hidden_act,
    }),
    givesPair: true,
  },
  parts: (config, block) => [firstPart(config, block), 'feedforward'],
  biases: (config) => ({ ...attentionBiases(config), attentionOutput: true, feedforward: true }),
  slidingWindow: windowEverywhere,
  scales: (config) => ({
    embedding: roundToBfloat16(Math.sqrt(config.hidden_size)),
    logitSoftCap: config.final_logit_softcapping ?? undefined,
  }),
};
