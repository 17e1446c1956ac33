import { fitsPatch, patchLayers, patchMode, patchWidth } from '../../models/patch/symbolic-patch';
import type { SymbolicGraph } from '../../models/patch/symbolic-graph';
import { seededRandom } from '../../data/random';
import { stepKey } from '../../training/dropout';
import { activation, dense, sequential } from '../../training/layers';
import type { Layer } from '../../training/layers';
import { randomGraph } from '../random-graph';
import { graphModule } from '../module/network';

/** Replacements of a removed sublayer: graphs of programs, and baselines. */
export const patchKinds = ['graph', 'skip', 'ridge', 'low-rank', 'mlp', 'random-graph'] as const;
export type PatchKind = (typeof patchKinds)[number];

/** Candidate to fit; its seed determines the result. */
export interface Contestant {
  /** Unique among the contestants of a sublayer. */
  readonly key: string;
  readonly kind: Exclude<PatchKind, 'skip'>;
  readonly seed: number;
  /** Factor of the learning rate. */
  readonly rateShare: number;
  /** Program of least mass that builds the graph, using primitives only. */
  readonly program?: string;
  readonly graph?: SymbolicGraph;
}

/** Graph found by a search. */
export interface FoundGraph {
  readonly program: string;
  readonly graph: SymbolicGraph;
}

/** Factors of the learning rate, used in turn by the tries of a kind: the best factor differs between tries. */
const rateShares = [1, 0.25];

/**
 * Creates a contestant for each graph, and the same number of tries for each baseline: a random graph with the same
 * number of nodes and edges, and the other kinds with different seeds.
 */
export function createContestants(found: readonly FoundGraph[], seed: number): Contestant[] {
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
 * Layers of a contestant by name, from the residual stream to the output that is added to it; `up` is the last one and
 * linear. A graph and a bottleneck MLP have the same number of parameters, and the low-rank adapter has the closest
 * rank. Ridge regression is one dense layer of the hidden size.
 */
export function contestantLayers(
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

/** Rank at which U·D + b has about as many parameters as a patch. */
function adapterRank(hiddenSize: number): number {
  const square = patchWidth * patchWidth + patchWidth;
  const budget = (2 * hiddenSize + 1) * patchWidth + (patchLayers + 1) * square;
  return Math.round(budget / (2 * hiddenSize + 1));
}
