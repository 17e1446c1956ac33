/**
 * Kind of a tensor: `norm`, `linear`, `module` and `router` have a weight and may have a bias; `tensor`, `scores` (one
 * value for each expert) and `experts` (a matrix for each expert) are full names.
 */
export type RoleKind =
  | 'norm'
  | 'linear'
  | 'module'
  | 'tensor'
  | 'connection'
  | 'router'
  | 'scores'
  | 'experts';

const compressor = (role: string, part: string): Roles => ({
  [`${role}.values`]: ['module', `${part}_compressor_kv`],
  [`${role}.gate`]: ['module', `${part}_compressor_gate`],
  [`${role}.places`]: ['tensor', `${part}_compressor_ape.weight`],
  [`${role}.norm`]: ['module', `${part}_compressor_norm`],
});

/**
 * Tensors by role, the path of their name in an `Architecture`: kind, and name in GGUF files
 * (gguf-py/gguf/tensor_mapping.py). Outside the blocks.
 */
export const embeddingAndHeadRoles: Roles = {
  'embeddingAndHead.embedding': ['module', 'token_embd'],
  'embeddingAndHead.finalNorm': ['norm', 'output_norm'],
  'embeddingAndHead.embeddingNorm': ['norm', 'token_embd_norm'],
  'embeddingAndHead.positions.name': ['module', 'position_embd'],
  'embeddingAndHead.types': ['module', 'token_types'],
  'embeddingAndHead.perLayer.table': ['module', 'per_layer_token_embd'],
  'embeddingAndHead.perLayer.projection': ['module', 'per_layer_model_proj'],
  'embeddingAndHead.perLayer.norm': ['module', 'per_layer_proj_norm'],
  'connections.head': ['connection', 'output_hc_'],
};

/** Tensors of a block. */
export const blockRoles: Roles = {
  'attention.wiring.norm': ['norm', 'attn_norm'],
  'attention.wiring.postNorm': ['norm', 'post_attention_norm'],
  'attention.wiring.sumNorm': ['norm', 'attn_output_norm'],
  'attention.queryKeyNorms.query': ['norm', 'attn_q_norm'],
  'attention.queryKeyNorms.key': ['norm', 'attn_k_norm'],
  'attention.parts.innerNorm': ['norm', 'attn_sub_norm'],
  'attention.queryKeyValue.fused': ['linear', 'attn_qkv'],
  'attention.queryKeyValue.0': ['linear', 'attn_q'],
  'attention.queryKeyValue.1': ['linear', 'attn_k'],
  'attention.queryKeyValue.2': ['linear', 'attn_v'],
  'attention.output': ['linear', 'attn_output'],
  'attention.parts.gate.name': ['module', 'attn_gate'],
  'attention.parts.sinks': ['tensor', 'attn_sinks.weight'],
  // Latent attention (src/models/deepseek2.cpp).
  'attention.latent.query': ['module', 'attn_q'],
  'attention.latent.queryDown': ['module', 'attn_q_a'],
  'attention.latent.queryNorm': ['module', 'attn_q_a_norm'],
  'attention.latent.queryUp': ['module', 'attn_q_b'],
  'attention.latent.keyValueDown': ['module', 'attn_kv_a_mqa'],
  'attention.latent.keyValueNorm': ['module', 'attn_kv_a_norm'],
  'attention.latent.keyValueUp': ['module', 'attn_kv_b'],
  'attention.latent.apart.keyUp': ['module', 'attn_k_b'],
  'attention.latent.apart.valueUp': ['module', 'attn_v_b'],
  // Choice of tokens (src/models/deepseek32.cpp).
  'attention.latent.indexer.queryUp': ['module', 'indexer.attn_q_b'],
  'attention.latent.indexer.key': ['module', 'indexer.attn_k'],
  'attention.latent.indexer.keyNorm': ['module', 'indexer.k_norm'],
  'attention.latent.indexer.weights': ['module', 'indexer.proj'],
  // Attention that reads compressed runs (src/models/deepseek4.cpp).
  'attention.compressed.queryDown': ['module', 'attn_q_a'],
  'attention.compressed.queryNorm': ['module', 'attn_q_a_norm'],
  'attention.compressed.queryUp': ['module', 'attn_q_b'],
  'attention.compressed.key': ['module', 'attn_kv'],
  'attention.compressed.keyNorm': ['module', 'attn_kv_a_norm'],
  'attention.compressed.groups': ['module', 'attn_output_a'],
  ...compressor('attention.compressed.compressor', 'attn'),
  'attention.compressed.indexer.query': ['module', 'indexer.attn_q_b'],
  'attention.compressed.indexer.weights': ['module', 'indexer.proj'],
  ...compressor('attention.compressed.indexer.compressor', 'indexer'),
  // Encoder and decoder of T5 (src/models/t5.cpp).
  distanceBias: ['module', 'attn_rel_b'],
  'crossAttention.wiring.norm': ['norm', 'cross_attn_norm'],
  'crossAttention.queryKeyValue.0': ['linear', 'cross_attn_q'],
  'crossAttention.queryKeyValue.1': ['linear', 'cross_attn_k'],
  'crossAttention.queryKeyValue.2': ['linear', 'cross_attn_v'],
  'crossAttention.output': ['linear', 'cross_attn_o'],
  'feedforward.wiring.norm': ['norm', 'ffn_norm'],
  'feedforward.wiring.postNorm': ['norm', 'post_ffw_norm'],
  'feedforward.wiring.sumNorm': ['norm', 'layer_output_norm'],
  'feedforward.parts.innerNorm': ['norm', 'ffn_sub_norm'],
  'feedforward.gateUp.fused': ['linear', 'ffn_up'],
  'feedforward.gateUp.0': ['linear', 'ffn_gate'],
  'feedforward.gateUp.1': ['linear', 'ffn_up'],
  'feedforward.down': ['linear', 'ffn_down'],
  'mixer.wiring.norm': ['norm', 'attn_norm'],
  'experts.parts.ownNorms.norm': ['norm', 'pre_ffw_norm_2'],
  'experts.parts.ownNorms.postNorm': ['norm', 'post_ffw_norm_2'],
  'experts.parts.ownNorms.sharedPostNorm': ['norm', 'post_ffw_norm_1'],
  'experts.parts.ownNorms.routerScale': ['tensor', 'ffn_gate_inp.scale'],
  'end.perLayer.gate': ['module', 'inp_gate'],
  'end.perLayer.projection': ['module', 'proj'],
  'end.perLayer.norm': ['module', 'post_norm'],
  'end.factor': ['tensor', 'layer_output_scale.weight'],
  'altUp.norm': ['module', 'altup_router_norm'],
  'altUp.router': ['module', 'altup_router'],
  'altUp.predict': ['module', 'altup_predict_coef'],
  'altUp.correct': ['module', 'altup_correct_coef'],
  'laurel.left': ['module', 'laurel_l'],
  'laurel.right': ['module', 'laurel_r'],
  'laurel.postNorm': ['module', 'laurel_post_norm'],
  'connections.attention': ['connection', 'hc_attn_'],
  'connections.feedforward': ['connection', 'hc_ffn_'],
};

/** Tensors of routers and experts, below the module of a folder that holds them. */
export const expertRoles: Roles = {
  'experts.router': ['router', 'ffn_gate_inp'],
  'experts.choiceBias': ['scores', 'exp_probs_b.bias'],
  'experts.parts.shareFactors': ['scores', 'ffn_down_exps.scale'],
  'experts.parts.table.name': ['tensor', 'ffn_gate_tid2eid.weight'],
  'experts.joined.gateUp': ['experts', 'ffn_gate_up_exps.weight'],
  'experts.joined.gateUp.0': ['experts', 'ffn_gate_exps.weight'],
  'experts.joined.gateUp.1': ['experts', 'ffn_up_exps.weight'],
  'experts.joined.apart.0': ['experts', 'ffn_gate_exps.weight'],
  'experts.joined.apart.1': ['experts', 'ffn_up_exps.weight'],
  'experts.joined.down': ['experts', 'ffn_down_exps.weight'],
};

/** Tensors of a shared expert. */
export const sharedExpertRoles: Roles = {
  'gateUp.fused': ['linear', 'ffn_up_shexp'],
  'gateUp.0': ['linear', 'ffn_gate_shexp'],
  'gateUp.1': ['linear', 'ffn_up_shexp'],
  down: ['linear', 'ffn_down_shexp'],
  gate: ['linear', 'ffn_gate_inp_shexp'],
};

export type Roles = Readonly<Record<string, readonly [kind: RoleKind, name: string]>>;

/** GGUF names of a family that differ from those of {@link blockRoles} and {@link embeddingAndHeadRoles}, by role. */
export type RoleNames = Readonly<Record<string, string>>;

/** Name of a role; undefined if the architecture lacks it. */
export function roleName(known: object, role: string): string | undefined {
  const found = role
    .split('.')
    .reduce<unknown>(
      (value, key) =>
        typeof value === 'object' ? (value as Record<string, unknown> | null)?.[key] : undefined,
      known,
    );
  return typeof found === 'string' ? found : undefined;
}

/** An architecture whose roles have the names of GGUF files; roles that it lacks stay absent. */
export function renamed<Known extends object>(known: Known, roles: Roles, names: RoleNames): Known {
  return Object.entries(roles).reduce(
    (result, [role, [, name]]) =>
      roleName(known, role) === undefined
        ? result
        : withName(result, role.split('.'), names[role] ?? name),
    known,
  );
}

function withName<Value>(value: Value, [key, ...rest]: readonly string[], name: string): Value {
  if (key === undefined) {
    return name as Value;
  }
  const copy = (Array.isArray(value) ? [...(value as unknown[])] : { ...value }) as Value;
  return Object.assign(copy as object, {
    [key]: withName((value as Record<string, unknown>)[key], rest, name),
  }) as Value;
}
