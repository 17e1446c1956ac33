/** Modules of a block in transformers, and their replacements when the sublayer is removed. */
export type BranchReplacements = Readonly<Record<string, keyof typeof replacementClasses>>;

const normReplacement = (name: string, norm: string): string => `class ${name}(nn.Module):
    def __init__(self, output):
        super().__init__()
        self.${norm} = output.${norm}

    def forward(self, hidden_states, input_tensor):
        return self.${norm}(input_tensor)
`;

/**
 * Python source of the replacements: a branch that returns zero, or, for modules that add the
 * residual themselves, the identity or only a norm.
 */
export const replacementClasses = {
  'nn.Identity': '',
  None: '',
  NoAttention: `class NoAttention(nn.Module):
    def forward(self, hidden_states, *args, **kwargs):
        return torch.zeros_like(hidden_states), None
`,
  NoSparseAttention: `class NoSparseAttention(nn.Module):
    def forward(self, hidden_states, *args, **kwargs):
        return torch.zeros_like(hidden_states), None

    def set_attention_type(self, *args, **kwargs):
        pass
`,
  NoFeedforward: `class NoFeedforward(nn.Module):
    def forward(self, hidden_states, *args, **kwargs):
        return torch.zeros_like(hidden_states)
`,
  KeptNorm: normReplacement('KeptNorm', 'LayerNorm'),
  SameAttention: `class SameAttention(nn.Module):
    def forward(self, hidden_states, *args, **kwargs):
        return hidden_states, None
`,
  NoQuantAttention: `class NoQuantAttention(nn.Module):
    def forward(self, hidden_states, *args, **kwargs):
        return (hidden_states,), (None,)
`,
  NoQuantLinear: `class NoQuantLinear(nn.Module):
    def forward(self, hidden_states, scaling_factor=None):
        return torch.zeros_like(hidden_states), None
`,
  NoSqueezeAttention: `class NoSqueezeAttention(nn.Module):
    def forward(self, hidden_states, *args, **kwargs):
        return {"context_layer": hidden_states}
`,
  KeptSqueezeNorm: normReplacement('KeptSqueezeNorm', 'layernorm'),
  SameQuant: `class SameQuant(nn.Module):
    def forward(self, hidden_states, scaling_factor=None):
        return hidden_states, scaling_factor
`,
  KeptSparseNorm: `class KeptSparseNorm(nn.Module):
    def __init__(self, attention):
        super().__init__()
        self.output = KeptNorm(attention.output)

    def forward(self, hidden_states, *args, **kwargs):
        return self.output(None, hidden_states), None

    def set_attention_type(self, *args, **kwargs):
        pass
`,
  NoBiasedAttention: `class NoBiasedAttention(nn.Module):
    def __init__(self, attention):
        super().__init__()
        if hasattr(attention, "rel_attn_embed"):
            self.rel_attn_embed = attention.rel_attn_embed
        # Not a module of this one, whose weights would be stored: it turns distances into rows of the table.
        self.__dict__["attention"] = attention

    def forward(self, hidden_states, attention_mask=None, position_bias=None, **kwargs):
        if position_bias is None:
            batch, length, _ = hidden_states.shape
            position_bias = self.attention.compute_bias(length, length).repeat(batch, 1, 1)
        return torch.zeros_like(hidden_states), None, position_bias
`,
  SameStates: `class SameStates(nn.Module):
    def forward(self, hidden_states, *args, **kwargs):
        return hidden_states
`,
  Unscaled: `class Unscaled(nn.Module):
    def __mul__(self, hidden_states):
        return hidden_states
`,
  SameOutput: `class SameOutput(nn.Module):
    def forward(self, hidden_states, input_tensor):
        return input_tensor
`,
  SameCrossAttention: `class SameCrossAttention(nn.Module):
    def forward(self, hidden_states, *args, position_bias=None, **kwargs):
        return hidden_states, position_bias, None
`,
  KeptBias: `class KeptBias(nn.Module):
    """What is left of a self-attention: in a first block the bias that those behind it share."""

    def __init__(self, layer):
        super().__init__()
        attention = layer.SelfAttention
        if attention.has_relative_attention_bias:
            del attention.q, attention.k, attention.v, attention.o
            self.SelfAttention = attention

    def forward(self, hidden_states, attention_mask=None, position_bias=None, cache=None, **kwargs):
        if position_bias is None:
            past = 0 if cache is None else cache.get_seq_length()
            length = hidden_states.shape[1]
            position_bias = self.SelfAttention.compute_bias(
                length, past + length, device=hidden_states.device, past_seen_tokens=past
            )
        return hidden_states, position_bias, None
`,
} as const;

/** True for replacements that reuse a part of the module they replace. */
export const takesModule = (stand: keyof typeof replacementClasses): boolean =>
  stand.startsWith('Kept') || stand === 'NoBiasedAttention';
