import { hasWeightsByKind } from './classify';
import { isShape } from './graph-index';
import type { GraphIndex, GraphNode } from './graph-index';

/** A sum to which a value is added that comes from another of its terms: sum = start + Σ f(start). */
export interface Candidate {
  readonly add: GraphNode;
  /** The add and those whose sums are only its terms. */
  readonly sums: ReadonlySet<GraphNode>;
  readonly sum: string;
  readonly start: string;
  readonly terms: readonly string[];
  readonly nodes: ReadonlySet<GraphNode>;
}

/** A branch that holds as many others is a bridge over a part of the network, such as a U-Net's. */
const bridged = 2;

/** The sums that make a residual stream, in topological order. */
export function findCandidates(index: GraphIndex): Candidate[] {
  return outermost(
    index.nodes.flatMap((node) => candidateOf(node, index)),
    index,
  );
}

export function isSum({ op }: GraphNode): boolean {
  return op === 'Add' || op === 'Sum';
}

/** Whether a sum is only a term of the next sum. */
export function isInnerSum(value: string, index: GraphIndex): boolean {
  const [reader, ...others] = index.consumersOf(value);
  return reader !== undefined && others.length === 0 && isSum(reader) && !index.outputs.has(value);
}

function candidateOf(node: GraphNode, index: GraphIndex): Candidate[] {
  const [sum] = node.outputs;
  if (sum === undefined || !isSum(node) || isInnerSum(sum, index)) {
    return [];
  }
  const sums = new Set<GraphNode>();
  const terms = flatten(node, index, sums);
  for (const start of terms) {
    const others = terms.filter((term) => term !== start);
    if (others.length === 0) {
      continue;
    }
    const ways = others.map((term) => index.between(start, term));
    if (ways.every((nodes) => [...nodes].some((inner) => hasWeights(inner, index)))) {
      const nodes = new Set(ways.flatMap((way) => [...way]));
      return [{ add: node, sums, sum, start, terms: others, nodes }];
    }
  }
  return [];
}

/** Terms of nested sums that depend on the graph's inputs; the sums are added to `sums`. */
function flatten(node: GraphNode, index: GraphIndex, sums: Set<GraphNode>): string[] {
  sums.add(node);
  return node.inputs.flatMap((input) => {
    if (index.constants.has(input)) {
      return [];
    }
    const producer = index.producers.get(input);
    return producer !== undefined && isSum(producer) && isInnerSum(input, index)
      ? flatten(producer, index, sums)
      : [input];
  });
}

function hasWeights(node: GraphNode, index: GraphIndex): boolean {
  return hasWeightsByKind(node.op) && node.inputs.some((input) => index.constants.has(input));
}

/**
 * Whether a value from inside of a branch is read by another. So are those "branches" that start
 * from a mask which all blocks share, since scores of a later block come from those of an earlier.
 */
function leaks(index: GraphIndex, branch: Candidate, candidates: readonly Candidate[]): boolean {
  const readers = [...branch.nodes]
    .flatMap(({ outputs }) => outputs.flatMap((output) => index.consumersOf(output)))
    .filter((reader) => !branch.nodes.has(reader) && !branch.sums.has(reader) && !isShape(reader));
  return candidates.some(({ add, nodes }) =>
    readers.some((reader) => reader === add || nodes.has(reader)),
  );
}

/** Drops candidates inside of others, and those that bridge several. */
function outermost(found: readonly Candidate[], index: GraphIndex): Candidate[] {
  const candidates = found.filter((branch) => !leaks(index, branch, found));
  const inside = (outer: Candidate): Candidate[] =>
    candidates.filter((inner) => inner !== outer && outer.nodes.has(inner.add));
  const kept = candidates.filter((candidate) => inside(candidate).length < bridged);
  return kept.filter(
    (candidate) => !kept.some((outer) => outer !== candidate && outer.nodes.has(candidate.add)),
  );
}
