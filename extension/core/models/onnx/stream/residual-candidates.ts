import { hasWeightsByKind } from './classify';
import { isShape } from '../graph-index';
import type { GraphIndex, GraphNode } from '../graph-index';

/** Sum with a term that is computed from another term: sum = start + Σ f(start). */
export interface Candidate {
  readonly add: GraphNode;
  /** The add itself and the adds that only compute its terms. */
  readonly sums: ReadonlySet<GraphNode>;
  readonly sum: string;
  readonly start: string;
  readonly terms: readonly string[];
  readonly nodes: ReadonlySet<GraphNode>;
}

/** Minimum number of nested branches for which a branch counts as a long skip connection, as in a U-Net. */
const bridged = 2;

/** Sums of a sum, those of biases included; more are no residual. */
const maxSums = 32;

/** Sums that form a residual stream, in topological order. */
export function findCandidates(index: GraphIndex): Candidate[] {
  const sums = index.nodes.filter(
    (node) => isSum(node) && !isInnerSum(node.outputs[0] ?? '', index),
  );
  const found = sums.flatMap((node) => findSumCandidates(node, index));
  return topLevel(
    found.sort((a, b) => a.add.order - b.add.order),
    index,
  );
}

export function isSum({ op }: GraphNode): boolean {
  return op === 'Add' || op === 'Sum';
}

/** True if a sum is only a term of the next sum. */
export function isInnerSum(value: string, index: GraphIndex): boolean {
  const [reader, ...others] = index.consumersOf(value);
  return reader !== undefined && others.length === 0 && isSum(reader) && !index.outputs.has(value);
}

/** Candidates of a sum or, if it isn't one, of its inner sums: (x + f(x)) + y also has a branch. */
function findSumCandidates(node: GraphNode, index: GraphIndex): Candidate[] {
  const whole: Candidate[] = [];
  for (const open = [node]; open.length > 0;) {
    const sum = open.pop() ?? node;
    const candidate = readCandidate(sum, index);
    if (candidate !== undefined) {
      whole.push(candidate);
    } else {
      open.push(...innerSums(sum, index));
    }
  }
  return whole;
}

function readCandidate(node: GraphNode, index: GraphIndex): Candidate | undefined {
  const sums = new Set([node]);
  for (const one of sums) {
    innerSums(one, index).forEach((inner) => sums.add(inner));
    if (sums.size > maxSums) {
      return undefined;
    }
  }
  const inner = new Set([...sums].flatMap(({ outputs }) => outputs));
  const terms = [...sums].flatMap(({ inputs }) =>
    inputs.filter((input) => !inner.has(input) && !index.constants.has(input)),
  );
  for (const start of terms.filter((term) => !index.dataless.has(term))) {
    const others = terms.filter((term) => term !== start);
    if (others.length === 0) {
      continue;
    }
    const ways = others.map((term) => index.between(start, term));
    if (ways.every((nodes) => [...nodes].some((one) => hasWeights(one, index)))) {
      const nodes = new Set(ways.flatMap((way) => [...way]));
      return { add: node, sums, sum: node.outputs[0] ?? '', start, terms: others, nodes };
    }
  }
  return undefined;
}

/** Sums that are only terms of this one. */
function innerSums(node: GraphNode, index: GraphIndex): GraphNode[] {
  return node.inputs.flatMap((input) => {
    const producer = index.producers.get(input);
    return producer !== undefined && isSum(producer) && isInnerSum(input, index) ? [producer] : [];
  });
}

function hasWeights(node: GraphNode, index: GraphIndex): boolean {
  return hasWeightsByKind(node.op) && node.inputs.some((input) => index.constants.has(input));
}

/**
 * True if another branch reads a value inside this one. This also rejects false branches that start
 * from a mask shared by all blocks, because scores of a later block depend on those of an earlier one.
 */
function leaks(index: GraphIndex, branch: Candidate, candidates: readonly Candidate[]): boolean {
  const readers = [...branch.nodes]
    .flatMap(({ outputs }) => outputs.flatMap((output) => index.consumersOf(output)))
    .filter((reader) => !branch.nodes.has(reader) && !branch.sums.has(reader) && !isShape(reader));
  return candidates.some(({ add, nodes }) =>
    readers.some((reader) => reader === add || nodes.has(reader)),
  );
}

/** Drops candidates nested in others, and those that span several. */
function topLevel(found: readonly Candidate[], index: GraphIndex): Candidate[] {
  const candidates = found.filter((branch) => !leaks(index, branch, found));
  const inside = (outer: Candidate): Candidate[] =>
    candidates.filter((inner) => inner !== outer && outer.nodes.has(inner.add));
  const remaining = candidates.filter((candidate) => inside(candidate).length < bridged);
  return remaining.filter(
    (candidate) =>
      !remaining.some((outer) => outer !== candidate && outer.nodes.has(candidate.add)),
  );
}
