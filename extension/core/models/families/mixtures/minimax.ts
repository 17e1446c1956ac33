import type { Architecture } from '../../transformer/architecture';
import type { ConfigFields } from '../../transformer/model-config';
import { attention, base, windowEverywhere, feedforward, optionalNumber } from '../shared-parts';
import { mixtralExperts } from './experts';
import { mixedByType } from './mixer-pieces';
import { scaled, streamNorm } from '../../modules/wiring-names';
import type { SumFactors, WiringNames } from '../../modules/wiring-names';

/** Factors on the stream and on a branch, in fields that begin with its name. */
const branchFactors =
  (branch: string) =>
  (config: ConfigFields): SumFactors => ({
    stream: optionalNumber(config, `${branch}_alpha_factor`, 1),
    branch: optionalNumber(config, `${branch}_beta_factor`, 1),
  });

const mixerWiring = (branch: string): WiringNames =>
  scaled(streamNorm(attention.wiring.norm), branchFactors(branch));

/** MiniMax-Text-01 (arXiv 2501.08313): norms are applied to the stream itself before each sublayer. */
export const minimax: Architecture = {
  ...base,
  modelType: 'minimax',
  classes: { config: 'MiniMaxConfig', model: 'MiniMaxForCausalLM' },
  config: {
    names: { num_experts: 'num_local_experts' },
    lists: {
      layer_types: (_, block) => (block % 2 === 0 ? 'full_attention' : 'linear_attention'),
    },
    defaults: () => ({
      num_key_value_heads: 8,
      rms_norm_eps: 1e-5,
      max_position_embeddings: 131_072,
      rope_theta: 1_000_000,
    }),
  },
  attention: { ...attention, wiring: mixerWiring('full_attn') },
  mixer: {
    wiring: mixerWiring('linear_attn'),
    module: 'self_attn',
    form: (config) => ({
      kind: 'lightning',
      heads: config.num_attention_heads,
      headDim: config.head_dim ?? config.hidden_size / config.num_attention_heads,
      activation: config.hidden_act,
      epsilon: 1e-6,
    }),
    givesPair: true,
  },
  feedforward: {
    ...feedforward,
    wiring: scaled(streamNorm(feedforward.wiring.norm), branchFactors('mlp')),
  },
  experts: mixtralExperts,
  parts: mixedByType(mixtralExperts),
  slidingWindow: windowEverywhere,
};
