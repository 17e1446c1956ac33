import type { Architecture } from '../transformer/architecture';
import { derive } from '../transformer/derive';
import { glm4 } from './post-norm';
import { qwen2 } from './llama-like';
import { attention, attentionBiases, base, noBiases, queryKeyNorms } from './shared-parts';

/** @param family prefix of its transformers classes */
const qwen2Tower = (type: string, family: string): Architecture =>
  derive(qwen2, `${type}_text`, {
    flatType: type,
    classes: { config: `${family}TextConfig`, model: `${family}TextModel` },
    defaults: {
      num_key_value_heads: 8,
      rms_norm_eps: 1e-5,
      rope_theta: 1_000_000,
      max_position_embeddings: 32_768,
      max_window_layers: 80,
    },
  });

/**
 * Text towers of models for images and videos. A text has the same position in time, height and width, so all three
 * sections rotate heads alike.
 */
export const seeingTowers: readonly Architecture[] = [
  // arXiv 2409.12191
  qwen2Tower('qwen2_vl', 'Qwen2VL'),
  // arXiv 2502.13923
  qwen2Tower('qwen2_5_vl', 'Qwen2_5_VL'),
  derive(base, 'qwen3_vl_text', {
    classes: { config: 'Qwen3VLTextConfig', model: 'Qwen3VLTextModel' },
    defaults: {
      num_key_value_heads: 32,
      head_dim: 128,
      rope_theta: 500_000,
      max_position_embeddings: 128_000,
    },
    attention: { ...attention, queryKeyNorms },
    biases: attentionBiases,
  }),
  // arXiv 2507.01006
  derive({ ...glm4, config: {} }, 'glm4v_text', {
    classes: { config: 'Glm4vTextConfig', model: 'Glm4vTextModel' },
    defaults: {
      num_key_value_heads: 2,
      rms_norm_eps: 1e-5,
      max_position_embeddings: 32_768,
    },
    biases: () => ({ ...noBiases(), queryKeyValue: true }),
  }),
];
