import { elementCount } from '../../../checkpoints/lazy-tensor';
import type { OnnxInitializer } from '../../../checkpoints/onnx-file';
import type { ExpertSummary } from '../../model-summary';
import { fusedExperts } from '../stream/classify';
import type { GraphNode } from '../graph-index';
import { isWeight, productWeights, storedBytes } from '../stream/measure-sublayer';
import { intAttribute } from '../graph-index';
import { nodesUnusedAfterRemoval } from '../edits/removal-nodes';
import type { ResidualBranch } from '../stream/residual-stream';
import { selectedBy, expertNumberUses } from './chosen-numbers';
import { constantByExpert, expertWeights } from './constants-by-expert';
import { findRouter } from './router';
import type { MixtureGraph, ReadByExpert, Router } from './router';
import { separateExperts, withoutExperts } from './separate-experts';
import type { ExpertSum } from './separate-experts';

/** A MoE layer of a graph with experts that can be removed. */
export interface Mixture {
  readonly summary: ExpertSummary;
  /**
   * Correction of the FLOPs per token measured from the graph, because a token
   * uses `perToken` experts.
   */
  readonly sharedFlops: number;
  readonly router: Router;
  /** Constants with an axis of experts, including those of the router. */
  readonly reads: readonly ReadByExpert[];
  /** Set for graphs with separate nodes per expert. */
  readonly loop?: ExpertLoop | undefined;
}

interface ExpertLoop {
  /** Indices of the selected experts, an output of the selection. */
  readonly chosen: string;
  /** Index of each expert in the graph. */
  readonly numbers: readonly number[];
  /** True if the graph already has a table of these indices. */
  readonly hasTable: boolean;
  readonly sums: readonly ExpertSum[];
}

/**
 * Separates the experts of a MoE layer, or returns the reason why it can't. The branch contains a TopK or a fused
 * MoE node.
 */
export function findMixture(
  { nodes, terms }: Pick<ResidualBranch, 'nodes' | 'terms'>,
  graph: MixtureGraph,
): Mixture | string {
  const choices = [...nodes].filter(
    ({ op, outputs: [, chosen] }) =>
      fusedExperts.test(op) || (op === 'TopK' && graph.index.consumersOf(chosen ?? '').length > 0),
  );
  const [choice, ...others] = choices;
  if (choice === undefined || others.length > 0) {
    return choice === undefined
      ? 'the choice of experts lies inside of a function or a nested graph'
      : `experts are chosen in ${choices.length} steps`;
  }
  const [end = '', ...more] = terms;
  if (more.length > 0) {
    return 'other layers run in parallel';
  }
  return choice.op === 'TopK'
    ? byTopK(choice, end, nodes, graph)
    : byFusedNode(choice, nodes, graph);
}

function byTopK(
  choice: GraphNode,
  end: string,
  nodes: ReadonlySet<GraphNode>,
  graph: MixtureGraph,
): Mixture | string {
  const { proto } = choice;
  const router = findRouter(proto.input[0] ?? '', graph, nodes);
  const perToken = graph.shapes.contents(proto.input[1] ?? '')?.[0];
  if (typeof router === 'string') {
    return router;
  }
  const axis = intAttribute(proto, 'axis', -1);
  const rank = graph.shapes.of(proto.input[0] ?? '')?.length;
  if (intAttribute(proto, 'largest', 1) !== 1 || (axis !== -1 && axis + 1 !== rank)) {
    return 'the choice is not one of the highest scores';
  }
  if (typeof perToken !== 'number') {
    return 'the number of experts of a token is not fixed';
  }
  const chosen = proto.output[1] ?? '';
  const { count, scores } = router;
  const leak = findScoreLeak(router, choice, graph);
  if (leak !== undefined) {
    return leak;
  }
  const { fetched, table, compared } = expertNumberUses(chosen, count, scores, graph);
  if (table === undefined && compared === undefined) {
    return fetched.length === 0
      ? 'the numbers of the chosen experts are not used'
      : whole(router, perToken, fetched);
  }
  if (fetched.length > 0 || (table !== undefined && compared !== undefined)) {
    return `the numbers of the chosen experts fetch weights and go to ${compared?.op ?? 'Gather'} besides`;
  }
  const [output = ''] = table?.node.outputs ?? [];
  const selected = selectedBy(table === undefined ? chosen : output, graph);
  if (typeof selected === 'string') {
    return selected;
  }
  const numbers = table?.numbers ?? Array.from({ length: count }, (_, expert) => expert);
  const known = new Set(selected.values());
  if (numbers.some((number) => !known.has(number))) {
    return `of ${count} experts the graph computes ${known.size}`;
  }
  // A graph that lost experts still has places for them.
  const own = new Map([...selected].filter(([, number]) => numbers.includes(number)));
  const sums = separateExperts(own, end, graph);
  if (typeof sums === 'string') {
    return sums;
  }
  const loop = { chosen, numbers, hasTable: table !== undefined, sums };
  const reads = [...router.reads, ...(table === undefined ? [] : [table])];
  return separate({ router, perToken, reads, loop }, graph);
}

/** MoE layer of a fused MoE node of ONNX Runtime. */
function byFusedNode(
  choice: GraphNode,
  nodes: ReadonlySet<GraphNode>,
  graph: MixtureGraph,
): Mixture | string {
  const { proto } = choice;
  const router = findRouter(proto.input[1] ?? '', graph, nodes);
  if (typeof router === 'string') {
    return router;
  }
  const leak = findScoreLeak(router, choice, graph);
  if (leak !== undefined) {
    return leak;
  }
  const places = [...proto.input.keys()].filter(
    (place) =>
      place > 1 &&
      proto.input[place] !== '' &&
      (graph.shapes.of(proto.input[place] ?? '')?.length ?? 0) > 0,
  );
  const reads = places.flatMap((place) => {
    const constant = constantByExpert(proto.input[place] ?? '', 0, router.count, graph);
    return constant === undefined ? [] : [{ node: choice, place, constant }];
  });
  return reads.length < places.length
    ? `the weights of ${choice.op} are stored in a form that cannot be divided`
    : whole(router, intAttribute(proto, 'k', 1), reads);
}

/** Describes another use of the scores than the selection, if any. */
function findScoreLeak(
  { scores }: Router,
  choice: GraphNode,
  { index, live }: MixtureGraph,
): string | undefined {
  const inner = new Set(scores);
  const readers = scores.flatMap((value) => index.consumersOf(value));
  const other = readers.find(
    (node) =>
      live.has(node) &&
      node !== choice &&
      !['Shape', 'GatherElements'].includes(node.op) &&
      !node.outputs.some((output) => inner.has(output)),
  );
  return scores.some((value) => index.outputs.has(value))
    ? 'its scores are an output of the graph'
    : other && `its scores go to ${other.op} in addition to TopK`;
}

/** MoE layer with shared nodes for all experts. */
function whole(router: Router, perToken: number, fetched: readonly ReadByExpert[]): Mixture {
  const { count } = router;
  const reads = [...router.reads, ...fetched];
  const summary = summarize(count, perToken, weightShares(reads, count));
  const sharedFlops = fetched.map(({ node, constant }) => {
    const flops = expertWeights(constant).reduce(
      (sum, { dims }) => sum + 2 * elementCount(dims),
      0,
    );
    const rank = expertWeights(constant)[0]?.dims.length ?? 0;
    // Costs count matmul weights of a fused node in full, but not gathered weights.
    const measured = fusedExperts.test(node.op) && rank > 1 ? 1 : 0;
    return flops * ((rank > 2 ? perToken / count : 0) - measured);
  });
  return { router, reads, summary, sharedFlops: sharedFlops.reduce((a, b) => a + b, 0) };
}

/** MoE layer with separate nodes per expert. */
function separate(
  {
    router,
    perToken,
    reads,
    loop,
  }: Pick<Mixture, 'router' | 'reads'> & { perToken: number; loop: ExpertLoop },
  { index, live, initializers }: MixtureGraph,
): Mixture | string {
  const shares = weightShares(reads, router.count);
  const sizes = loop.numbers.map((number) => {
    const removedNodes = new Set<GraphNode>();
    for (const { start, sum } of withoutExperts(loop.sums, new Set([number]))) {
      const branch = { start, sum, nodes: new Set<GraphNode>() };
      nodesUnusedAfterRemoval(index, live, branch).forEach((node) => removedNodes.add(node));
    }
    const isUnread = (name: string): boolean =>
      index.consumersOf(name).every((reader) => removedNodes.has(reader) || !live.has(reader));
    const names = new Set([...removedNodes].flatMap(({ inputs }) => inputs).filter(isUnread));
    const weights = [...names].flatMap((name) => initializers.get(name) ?? []).filter(isWeight);
    const products = productWeights([...removedNodes], { initializers }, index);
    return {
      ...sumShares([...shares, ...weights.map((weight) => ({ weight, experts: 1 }))]),
      flops: products.reduce((sum, { dims }) => sum + 2 * elementCount(dims), 0),
    };
  });
  const [first] = sizes;
  if (first === undefined || sizes.some(({ parameters }) => parameters !== first.parameters)) {
    return 'its experts differ in size';
  }
  const { flops, ...size } = first;
  const summary = { ...summarize(router.count, perToken, []), ...size };
  return { router, reads, loop, summary, sharedFlops: (perToken - router.count) * flops };
}

/** A weight, and how many experts have an equal part of it. */
interface Share {
  readonly weight: OnnxInitializer;
  readonly experts: number;
}

function weightShares(reads: readonly ReadByExpert[], experts: number): Share[] {
  return [...new Set(reads.flatMap(({ constant }) => expertWeights(constant)))]
    .filter(isWeight)
    .map((weight) => ({ weight, experts }));
}

function sumShares(shares: readonly Share[]): Pick<ExpertSummary, 'parameters' | 'bytes'> {
  const sum = (size: (weight: OnnxInitializer) => number): number =>
    shares.reduce((total, { weight, experts }) => total + size(weight) / experts, 0);
  return { parameters: sum(({ dims }) => elementCount(dims)), bytes: sum(storedBytes) };
}

function summarize(count: number, perToken: number, shares: readonly Share[]): ExpertSummary {
  // The graph has the number of a token's experts in the shapes of its values.
  return { count, perToken, least: perToken, ...sumShares(shares) };
}
