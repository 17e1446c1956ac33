import { hasWeightsByKind } from './classify';
import { isShape } from './graph-index';
import type { GraphIndex, GraphNode } from './graph-index';

/** One removable branch: end = start + Σ f(start), up to norms behind the sum. */
export interface ResidualBranch {
  /** The stream in front of it. */
  readonly start: string;
  /** The stream behind it, in whose place `start` stands when the branch is removed. */
  readonly end: string;
  /** What is added to the stream; more than one where branches run in parallel. */
  readonly terms: readonly string[];
  /** Nodes on the ways from `start` through the terms. */
  readonly nodes: ReadonlySet<GraphNode>;
  /** Whether the next branch starts where this one ends. */
  readonly joined: boolean;
}

interface Candidate {
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

/**
 * Finds the branches that are added to a value they come from, in model order. Names play no role.
 */
export function findResidualBranches(index: GraphIndex): ResidualBranch[] {
  const candidates = outermost(
    index.nodes.flatMap((node) => candidateOf(node, index)),
    index,
  );
  const connectors = candidates.map(({ sum }, i) => {
    const next = candidates[i + 1];
    return next === undefined || next.start === sum ? undefined : connect(index, sum, next.start);
  });
  return candidates.map(({ sum, start, terms, nodes }, i) => {
    const next = candidates[i + 1];
    if (next !== undefined) {
      const end = next.start === sum || connectors[i] !== undefined ? next.start : sum;
      return { start, end, terms, nodes, joined: end === next.start };
    }
    const pattern = connectors[i - 1];
    const end = pattern === undefined ? sum : (follow(index, sum, pattern) ?? sum);
    return { start, end, terms, nodes, joined: true };
  });
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

function isSum({ op }: GraphNode): boolean {
  return op === 'Add' || op === 'Sum';
}

/** Whether a sum is only a term of the next sum. */
function isInnerSum(value: string, index: GraphIndex): boolean {
  const [reader, ...others] = index.consumersOf(value);
  return reader !== undefined && others.length === 0 && isSum(reader) && !index.outputs.has(value);
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

const light =
  /^(?:Relu|LayerNormalization|SimplifiedLayerNormalization|RMSNormalization|BatchNormalization|Pow|ReduceMean|Sub|Div|Sqrt|Reciprocal|Mul|Add|Cast|Identity)$/;

/** Operators of the norm between a sum and the next start, if there is only a norm between. */
function connect(index: GraphIndex, sum: string, start: string): string[] | undefined {
  const nodes = index.between(sum, start);
  const closed = [...nodes].every(({ outputs }) =>
    outputs.every(
      (output) =>
        output === start || index.consumersOf(output).every((reader) => nodes.has(reader)),
    ),
  );
  const all = index.consumersOf(sum).every((reader) => nodes.has(reader));
  const ops = [...nodes].map(({ op }) => op).sort();
  return nodes.size > 0 && all && closed && ops.every((op) => light.test(op)) ? ops : undefined;
}

/** The value behind the same operators as `pattern`, for the norm after the last sum. */
function follow(index: GraphIndex, sum: string, pattern: readonly string[]): string | undefined {
  const known = new Set([sum]);
  const nodes = [...index.descendants([sum])].sort((a, b) => a.order - b.order);
  const taken: GraphNode[] = [];
  for (const node of nodes) {
    if (node.inputs.every((input) => known.has(input) || index.constants.has(input))) {
      taken.push(node);
      node.outputs.forEach((output) => known.add(output));
    }
    if (taken.length === pattern.length) {
      break;
    }
  }
  const [end] = taken.at(-1)?.outputs ?? [];
  const ops = taken.map(({ op }) => op).sort();
  return end !== undefined &&
    ops.join() === pattern.join() &&
    connect(index, sum, end) !== undefined
    ? end
    : undefined;
}
