/** Experts behind dense blocks, chosen by σ(scores) and a bias. */
export const deepseekExperts = {
  fields: {
    first_k_dense_replace: 'leading_dense_block_count',
    n_shared_experts: 'expert_shared_count',
    routed_scaling_factor: 'expert_weights_scale',
    norm_topk_prob: 'expert_weights_norm',
  },
} as const;

/** Factors of Granite. */
export const granite = {
  fields: {
    embedding_multiplier: 'embedding_scale',
    residual_multiplier: 'residual_scale',
    attention_multiplier: 'attention.scale',
    logits_scaling: 'logit_scale',
  },
  interleaved: true,
} as const;
