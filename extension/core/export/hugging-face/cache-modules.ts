import type { Architecture } from '../../models/transformer/architecture';

/** Python source for key/value caches of a model in which blocks may lack attention, for a modeling file. */
interface CacheParts {
  readonly imports: string;
  /** Classes that come before the others. */
  readonly classes: string;
  /** Methods of the configuration. */
  readonly method: string;
  /** Python that is true of a block with a cache. */
  readonly keeps: (self: string, block: string) => string;
  /** Lines that compute the config for caches of `blocks`. */
  readonly config: readonly string[];
  /** Lines that tell a block's attention the number of its cache. */
  readonly number: readonly string[];
  /** Lines that remove the attention of a block; `lines` remove it entirely. */
  readonly without: (lines: readonly string[]) => readonly string[];
}

const copiedConfig = [
  'caches = copy.copy(self)',
  'caches.espalier = None',
  'caches.num_hidden_layers = len(blocks)',
  'if getattr(self, "layer_types", None) is not None:',
  '    caches.layer_types = [self.layer_types[b] for b in blocks]',
  'return caches',
];

/** Some families compute `layer_types`, so it can't be set. */
const cachesClass = `class Caches:
    """A config as caches are made from it, with fewer blocks."""

    kv_sharing_modes = None

    def __init__(self, config, blocks):
        self.config = config
        self.num_hidden_layers = len(blocks)
        self.layer_types = [config.layer_types[b] for b in blocks]
        self.per_layer_config = [config.per_layer_config[b] for b in blocks]

    def __getattr__(self, name):
        return getattr(self.config, name)

    def __iter__(self):
        return iter(self.config)

    def get_text_config(self, **kwargs):
        return self


`;

const noMixer = (givesPair = false): string => `class NoMixer(nn.Module):
    def forward(self, hidden_states, *args, **kwargs):
        return torch.zeros_like(hidden_states)${givesPair ? ', None' : ''}


`;

/** @param mixer class of the mixers, if the family has any */
export function cacheParts(family: Architecture, mixer: string): CacheParts {
  const [attention = ''] = family.attention.output.split('.');
  const number = [`layer.${attention}.layer_idx = caches`];
  const copied = ['return Caches(self, blocks)'];
  const plain = { imports: '', method: '', without: (lines: readonly string[]) => lines };
  if (family.sharedKeysBlock !== undefined) {
    return { ...sharedParts(family, attention), config: copied, number };
  }
  if (family.mixer === undefined) {
    const keeps = (self: string, block: string): string =>
      `not ${self}.lacks(${block}, "attention")`;
    return { ...plain, classes: '', keeps, config: copiedConfig, number };
  }
  // A cache stores the state of all parts of a block.
  const keeps = (self: string, block: string): string =>
    ['attention', 'mixer']
      .map((kind) => `not ${self}.lacks(${block}, "${kind}")`)
      .join(family.mixer?.wiring.parallel === 'input' ? ' or ' : ' and ');
  const modules = [...new Set([attention, mixer])].map((name) => `"${name}"`).join(', ');
  return {
    ...plain,
    classes: `${cachesClass}${noMixer(family.mixer.givesPair)}`,
    keeps,
    config: copied,
    number: [
      `for name in (${modules}):`,
      '    if getattr(layer, name, None) is not None:',
      '        getattr(layer, name).layer_idx = caches',
    ],
  };
}

/** Cache code for families in which the last blocks share keys and values of earlier blocks, which therefore remain. */
function sharedParts(
  { attention: { wiring } }: Architecture,
  attention: string,
): Omit<CacheParts, 'config' | 'number'> {
  return {
    imports: '\nimport sys',
    classes: `${cachesClass}class KeysOnly(nn.Module):
    """What is left of an attention whose keys and values later blocks read."""

    def __init__(self, attention):
        super().__init__()
        for name in ("k_proj", "v_proj", "k_norm", "v_norm", "head_dim", "layer_type"):
            setattr(self, name, getattr(attention, name))
        self.turned = sys.modules[type(attention).__module__].apply_rotary_pos_emb

    def forward(
        self, hidden_states, position_embeddings, shared_kv_states, cache=None, past_key_values=None, **kwargs
    ):
        heads = (*hidden_states.shape[:-1], -1, self.head_dim)
        keys = self.k_proj(hidden_states).view(heads)
        values = keys if self.v_proj is None else self.v_proj(hidden_states).view(heads)
        keys = self.turned(self.k_norm(keys), *position_embeddings, unsqueeze_dim=2).transpose(1, 2)
        values = self.v_norm(values).transpose(1, 2)
        cache = past_key_values if cache is None else cache
        if cache is not None:
            keys, values = cache.update(keys, values, self.layer_idx)
        shared_kv_states[self.layer_type] = keys, values
        return torch.zeros_like(hidden_states), None


`,
    method: `
    def lends_keys(self, block):
        """Whether the attention of a later block reads this one's keys and values."""
        modes = self.kv_sharing_modes
        return modes[block] == "store" and any(
            modes[b] == "reuse" and kind == self.layer_types[block] and not self.lacks(b, "attention")
            for b, kind in enumerate(self.layer_types)
        )

    def keeps_cache(self, block):
        is_own = self.kv_sharing_modes[block] != "reuse"
        return is_own and (self.lends_keys(block) or not self.lacks(block, "attention"))
`,
    keeps: (self, block) => `${self}.keeps_cache(${block})`,
    without: (lines) => [
      'if config.lends_keys(block):',
      ...(wiring.postNorm === undefined ? [] : [`    layer.${wiring.postNorm} = nn.Identity()`]),
      `    layer.${attention} = KeysOnly(layer.${attention})`,
      'else:',
      ...lines.map((line) => `    ${line}`),
    ],
  };
}
