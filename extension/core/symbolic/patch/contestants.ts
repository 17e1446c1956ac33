import { fitsPatch, patchLayers, patchMode, patchWidth } from '../../models/patch/symbolic-patch';
import type { SymbolicGraph } from '../../models/patch/symbolic-graph';
import { seededRandom } from '../../data/random';
import { stepKey } from '../../training/dropout';
import { activation, dense, sequential } from '../../training/layers';
import type { Layer } from '../../training/layers';
import { randomGraph } from '../random-graph';
import { graphModule } from '../module/graph-module';

/** What may stand in the place of a removed sublayer: graphs of programs, and what they are compared with. */
export const patchKinds = ['graph', 'skip', 'ridge', 'low-rank', 'mlp', 'random-graph'] as const;
export type PatchKind = (typeof patchKinds)[number];

/** What is fitted, all of it following from its seed. */
export interface Contestant {
  /** Unique among the contestants of one sublayer. */
  readonly key: string;
  readonly kind: Exclude<PatchKind, 'skip'>;
  readonly seed: number;
  /** Share of the learning rate that it is trained with. */
  readonly rateShare: number;
  /** The program of least mass that builds the graph, of primitives alone. */
  readonly program?: string;
  readonly graph?: SymbolicGraph;
}

/** A graph that a search has found. */
export interface FoundGraph {
  readonly program: string;
  readonly graph: SymbolicGraph;
}

/** Learning rates that the tries of a kind take turns at, as shares: what is best for one is not for another. */
const rateShares = [1, 0.25];

/**
 * A contestant for each graph, and as many tries for each control: a random graph of as many nodes and
 * edges, the others drawn from another seed.
 */
export function contestantsOf(found: readonly FoundGraph[], seed: number): Contestant[] {
  const own = (
    kind: Contestant['kind'],
    i: number,
  ): Pick<Contestant, 'key' | 'kind' | 'seed' | 'rateShare'> => ({
    key: `${kind} ${i}`,
    kind,
    seed: stepKey(seed, i),
    rateShare: rateShares[i % rateShares.length] ?? 1,
  });
  const fitting = found.filter(({ graph }) => fitsPatch(graph));
  return [
    ...fitting.map((one, i) => ({ ...own('graph', i), ...one })),
    ...(fitting.length === 0 ? [] : [own('ridge', 0)]),
    ...fitting.map((_, i) => own('low-rank', i)),
    ...fitting.map((_, i) => own('mlp', i)),
    ...fitting.map(({ graph: { nodes, edges } }, i) => ({
      ...own('random-graph', i),
      graph: randomGraph(
        nodes.length,
        Math.max(0, edges.length - nodes.length + 1),
        seededRandom(stepKey(seed, i)),
      ),
    })),
  ];
}

/**
 * Layers of a contestant by name, from the stream to what is added to it; `up` is the last and linear. A
 * graph's and a bottleneck's have as many parameters; the rank of the low-rank adapter is the one that comes
 * closest to them. Ridge regression is one dense layer, whose size follows from the stream.
 */
export function layersOf(
  { kind, graph }: Pick<Contestant, 'kind' | 'graph'>,
  hiddenSize: number,
): Readonly<Record<string, Layer>> {
  const up = dense(hiddenSize);
  const down = dense(patchWidth);
  switch (kind) {
    case 'ridge':
      return { up };
    case 'low-rank':
      return { down: dense(adapterRank(hiddenSize)), up };
    case 'mlp': {
      const hidden = sequential({ dense: dense(patchWidth), relu: activation('relu') });
      const inner = Array.from({ length: patchLayers }, (_, i) => [String(i), hidden] as const);
      const module = { ...Object.fromEntries(inner), readout: dense(patchWidth) };
      return { down, module: sequential(module), up };
    }
    case 'graph':
    case 'random-graph': {
      if (graph === undefined) {
        throw new Error('a graph module has a graph');
      }
      const options = { mode: patchMode, outputs: patchWidth, layers: patchLayers, dropout: 0 };
      return { down, module: graphModule(graph, options), up };
    }
  }
}

/** The rank at which U·D + b has as many parameters as a patch, as nearly as can be. */
function adapterRank(hiddenSize: number): number {
  const square = patchWidth * patchWidth + patchWidth;
  const budget = (2 * hiddenSize + 1) * patchWidth + (patchLayers + 1) * square;
  return Math.round(budget / (2 * hiddenSize + 1));
}
