import type { Architecture, PartKind } from '../../transformer/architecture';
import type { ConfigFields } from '../../transformer/config-layout';
import { attention, base, everywhere, numberIn } from '../shared-parts';
import { mixtralExperts } from './experts';
import { mixedByType } from './mixer-pieces';
import { postNorm } from '../../modules/wiring-names';

/** Names of the fields with the factors on the stream and on what is added to it. */
const factorNames: Readonly<Record<PartKind, string>> = {
  attention: 'full_attn',
  mixer: 'linear_attn',
  expert: 'mlp',
  feedforward: 'mlp',
};

const readFactor = (config: ConfigFields, part: PartKind, of: 'alpha' | 'beta'): number =>
  numberIn(config, `${factorNames[part]}_${of}_factor`, 1);

const wiring = postNorm('post_attention_layernorm');

/** MiniMax-Text-01 (arXiv 2501.08313): norms of the stream itself, in front of each sublayer. */
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
  startNorm: attention.wiring.norm,
  attention: { ...attention, wiring },
  mixer: {
    wiring,
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
  feedforward: { ...base.feedforward, wiring: {} },
  experts: mixtralExperts,
  parts: mixedByType(mixtralExperts),
  slidingWindow: everywhere,
  streamFactor: (config, part) => readFactor(config, part, 'alpha'),
  branchFactor: (config, part) => readFactor(config, part, 'beta'),
};
