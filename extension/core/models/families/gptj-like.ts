import type { Architecture, Biases } from '../transformer/architecture';
import { derive, named } from '../transformer/derive';
import type { ConfigFields } from '../transformer/model-config';
import { base, fourTimesHidden, gptNames, noBiases } from './shared-parts';
import { parallelBranch, preNorm } from '../modules/wiring-names';

/** GPT-J and CodeGen: one norm for both branches. */
const gptjLike = {
  config: {
    names: { ...gptNames, max_position_embeddings: 'n_positions' },
    defaults: (config: ConfigFields): ConfigFields => ({
      max_position_embeddings: 2048,
      intermediate_size: fourTimesHidden(config),
      hidden_act: 'gelu_new',
      rms_norm_eps: 1e-5,
      rotary_dim: 64,
    }),
  },
  embeddingAndHead: {
    prefixes: ['transformer.', ''],
    embedding: 'wte',
    finalNorm: 'ln_f',
    blocks: 'h',
    headBias: true,
  },
  norm: 'layer',
  feedforward: {
    wiring: parallelBranch(preNorm('ln_1')),
    gateUp: ['mlp.fc_in'],
    down: 'mlp.fc_out',
  },
  biases: (): Biases => ({ ...noBiases(), feedforward: true }),
  interleavedRotary: true,
} as const;

/** Families in which attention and feed-forward read the same norm of the block's input. */
export const gptjFamilies: readonly Architecture[] = [
  derive({ ...base, ...gptjLike }, named('gptj', 'GPTJ'), {
    attention: {
      wiring: preNorm('ln_1'),
      queryKeyValue: ['attn.q_proj', 'attn.k_proj', 'attn.v_proj'],
      output: 'attn.out_proj',
    },
  }),
  derive({ ...base, ...gptjLike }, named('codegen', 'CodeGen'), {
    attention: {
      wiring: preNorm('ln_1'),
      queryKeyValue: {
        fused: 'attn.qkv_proj',
        order: 'query-value-key-by-quarter',
      },
      output: 'attn.out_proj',
    },
  }),
];
