import { patchLayers, patchWidth } from '../models/patch/symbolic-patch';
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
    """U·G(D·x), which stands in for a feed-forward."""

    def __init__(self, spec, hidden_size):
        super().__init__()
        self.down = nn.Linear(hidden_size, ${patchWidth})
        self.module = GraphModule(spec, ${patchWidth})
        self.up = nn.Linear(${patchWidth}, hidden_size)

    def forward(self, hidden_states):
        return self.up(self.module(self.down(hidden_states)))


class AttentionPatch(Patch):
    """The same in the place of attention."""

    def forward(self, hidden_states, *args, **kwargs):
        return super().forward(hidden_states), None`;

/** Python of what patches need, as parts of a modelling file; empty where there are none. */
export function patchParts(
  { patched }: ModuleNeeds,
  attention: string,
  feedforward: string,
): {
  readonly classes: string;
  readonly method: string;
  /** Statements at the end of the loop over layers, when what is patched has been taken out. */
  readonly call: string;
} {
  return Object.keys(patched).length === 0
    ? { classes: '', method: '', call: '' }
    : {
        classes: `\n\n${patchModules}\n`,
        method: `
    def patch_of(self, block, kind):
        """The graph of what stands in the place of a sublayer."""
        return self.espalier["patches"].get(f"block.{block}.{kind}")
`,
        call: `
            spec = config.patch_of(block, "attention")
            if spec is not None:
                layer.${attention} = AttentionPatch(spec, config.hidden_size)
            spec = config.patch_of(block, "feedforward")
            if spec is not None:
                layer.${feedforward} = Patch(spec, config.hidden_size)`,
      };
}
