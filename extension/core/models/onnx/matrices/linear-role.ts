import type { LinearRole } from '../../matrix-encoding';
import type { SublayerKind } from '../../model-summary';

/** What exporters call layers after; the first that occurs counts. */
const names: readonly (readonly [RegExp, LinearRole])[] = [
  [
    /(?:^|[^a-z])(?:qkv|query_key_value|qkv_proj|c_attn|in_proj|Wqkv)(?:[^a-z]|$)/i,
    'query-key-value',
  ],
  [/(?:^|[^a-z])(?:q|q_proj|query|wq|to_q|q_lin)(?:[^a-z_]|$)/i, 'query'],
  [/(?:^|[^a-z])(?:k|k_proj|key|wk|to_k|k_lin)(?:[^a-z_]|$)/i, 'key'],
  [/(?:^|[^a-z])(?:v|v_proj|value|wv|to_v|v_lin)(?:[^a-z_]|$)/i, 'value'],
  [/(?:^|[^a-z])(?:gate_up_proj|gate_up)(?:[^a-z]|$)/i, 'gate-up'],
  [/(?:^|[^a-z])(?:gate_proj|w1|wi_0)(?:[^a-z0-9]|$)/i, 'gate'],
  [
    /(?:^|[^a-z])(?:up_proj|w3|wi_1|wi|fc1|c_fc|dense_h_to_4h|intermediate|lin1)(?:[^a-z0-9]|$)/i,
    'up',
  ],
  [/(?:^|[^a-z])(?:down_proj|w2|wo|fc2|dense_4h_to_h|lin2)(?:[^a-z0-9]|$)/i, 'down'],
];

/**
 * What a product is for, by its kind of sublayer and, as far as they tell, by the names of node and
 * weight: exporters keep the module's, or not. `isLast`: no other product is made of its result.
 */
export function linearRole(
  kind: SublayerKind,
  labels: readonly string[],
  isLast: boolean,
): LinearRole {
  if (isLast) {
    return kind === 'attention' || kind === 'cross-attention'
      ? 'output'
      : kind === 'feedforward' || kind === 'expert'
        ? 'down'
        : 'other';
  }
  const label = labels.join(' ');
  return names.find(([pattern]) => pattern.test(label))?.[1] ?? 'other';
}
