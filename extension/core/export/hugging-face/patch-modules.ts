import { patchLayers, patchWidth } from '../../models/patch/symbolic-patch';
import type { ModuleNeeds } from './compressed-modules';

/**
 * Python classes of modeling_espalier.py that run symbolic patches. Names of their parameters are those of
 * core/models/patch/symbolic-patch, and the features those of core/models/patch/graph-slots and positions.
 */
const patchModules = `class GraphModule(nn.Module):
    """The module of a graph (arXiv 2303.03340): ${patchLayers} convolutions that see edges, the mean over nodes, a readout."""

    def __init__(self, spec, width):
        super().__init__()
        self.nodes, self.edges, self.width = spec["nodes"], spec["edges"], width
        for layer in range(${patchLayers}):
            setattr(self, f"convolution_{layer}", nn.Linear(width, width))
        self.readout = nn.Linear(width, width)

    def starts(self, x, ids, columns):
        """A slice of the input repeated to its width, and the position, of each node or edge."""
        slots, width = len(self.nodes) + len(self.edges), self.width
        each = width // slots
        first = width - each * (slots - 1)
        features = []
        for id, column in zip(ids, columns):
            start, length = (0, first) if id == 0 else (first + (id - 1) * each, each)
            choice = torch.tensor([start + i % length for i in range(width)], device=x.device)
            powers = torch.arange(width // 4, dtype=torch.float64) / (width // 4 - 1)
            waves = [place * 10000.0**-powers for place in (id, column)]
            position = torch.cat([wave for w in waves for wave in (w.sin(), w.cos())])
            features.append(x.index_select(-1, choice) + position.to(x.device, x.dtype))
        return features

    def forward(self, x):
        nodes = self.starts(x, self.nodes, [0] * len(self.nodes))
        edges = self.starts(x, [e[0] for e in self.edges], [e[1] + 1 for e in self.edges])
        for layer in range(${patchLayers}):
            sums = list(nodes)
            for edge, (_, _, a, b) in zip(edges, self.edges):
                for start, end in ((a, b), (b, a)):
                    sent = torch.relu(nodes[self.nodes.index(start)] + edge)
                    sums[self.nodes.index(end)] = sums[self.nodes.index(end)] + sent
            convolution = getattr(self, f"convolution_{layer}")
            nodes = [convolution(total) for total in sums]
        return self.readout(torch.stack(nodes).mean(0))


class Patch(nn.Module):
    """U·G(D·x), which stands in for an MLP. With a layer given, x is that layer's input, else the module's own."""

    def __init__(self, spec, config, layer=None):
        super().__init__()
        self.down = nn.Linear(config.hidden_size, ${patchWidth})
        self.module = GraphModule(spec, ${patchWidth})
        self.up = nn.Linear(${patchWidth}, config.hidden_size)
        # Some families scale what sublayers add to the stream.
        self.scale = getattr(config, "residual_multiplier", 1.0)
        self.stream = None
        if layer is not None:
            layer.register_forward_pre_hook(self.see, with_kwargs=True)

    def see(self, layer, args, kwargs):
        self.stream = args[0] if args else kwargs["hidden_states"]

    def forward(self, hidden_states, *args, **kwargs):
        stream = hidden_states if self.stream is None else self.stream
        return self.up(self.module(self.down(stream))) / self.scale


class AttentionPatch(Patch):
    """The same in the place of attention."""

    def forward(self, hidden_states, *args, **kwargs):
        return super().forward(hidden_states), None`;

/** Classes for layers in which attention and MLP add themselves to the stream. */
const addingModules = `class AddingAttentionPatch(Patch):
    """x + U·G(D·x), which stands in for attention with its sum and norm."""

    def forward(self, hidden_states, *args, **kwargs):
        return hidden_states + super().forward(hidden_states), None


class AddingPatch(Patch):
    """The same in the place of an MLP."""

    def forward(self, hidden_states, input_tensor):
        return input_tensor + super().forward(input_tensor)


class NormedPatch(Patch):
    """The norm of x + U·G(D·x), which stands in for the last module of a sublayer."""

    def __init__(self, spec, config, output):
        super().__init__(spec, config)
        self.LayerNorm = output.LayerNorm

    def forward(self, hidden_states, input_tensor):
        return self.LayerNorm(input_tensor + super().forward(input_tensor))`;

/** Patch class for each class that replaces a removed module. */
const patchClasses: Readonly<Record<string, string>> = {
  NoAttention: 'AttentionPatch',
  NoMixer: 'Patch',
  NoFeedforward: 'Patch',
  SameAttention: 'AddingAttentionPatch',
  SameOutput: 'AddingPatch',
  KeptNorm: 'NormedPatch',
};

/** True if a patch can replace the replacement class `stand`. */
export const takesPatches = (stand: string): boolean => stand in patchClasses;

/** Module of a layer that a patch can replace. */
interface PatchedModule {
  /** Kinds of sublayers it can contain. */
  readonly kinds: readonly string[];
  readonly module: string;
  /** Class that replaces the module if the sublayer is removed. */
  readonly stand: string;
}

interface PatchParts {
  readonly classes: string;
  readonly method: string;
  /** Statements at the end of the loop over layers, after patched modules were removed. */
  readonly call: string;
}

/**
 * Python source of the patches for a modeling file; empty if there are none.
 * @param sharedNorm norm before both branches if they share one; patches then read its output
 */
export function patchParts(
  { patched }: ModuleNeeds,
  modules: readonly PatchedModule[],
  sharedNorm?: string,
): PatchParts {
  if (Object.keys(patched).length === 0) {
    return { classes: '', method: '', call: '' };
  }
  const adds = modules.some(({ stand }) => !stand.startsWith('No'));
  const call = modules.flatMap(({ kinds, module, stand }) => {
    const specs = kinds.map((kind) => `config.patch_of(block, "${kind}")`).join(' or ');
    const layer = sharedNorm === undefined ? '' : ', layer';
    const given = stand === 'KeptNorm' ? `, layer.${module}` : layer;
    return [
      `spec = ${specs}`,
      'if spec is not None:',
      `    layer.${module} = ${patchClasses[stand] ?? ''}(spec, config${given})`,
    ];
  });
  const lacksBoth = modules
    .map(({ kinds }) => kinds.map((kind) => `config.lacks(block, "${kind}")`).join(' or '))
    .join(' and ');
  const norm =
    sharedNorm === undefined ? [] : [`if ${lacksBoth}:`, `    layer.${sharedNorm} = nn.Identity()`];
  return {
    classes: `\n\n${adds ? `${patchModules}\n\n\n${addingModules}` : patchModules}\n`,
    method: `
    def patch_of(self, block, kind):
        """The graph of what stands in the place of a sublayer."""
        return self.espalier["patches"].get(f"block.{block}.{kind}")
`,
    call: [...call, ...norm].map((line) => `\n            ${line}`).join(''),
  };
}
