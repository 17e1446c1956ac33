import { clone } from '@bufbuild/protobuf';
import { NodeProtoSchema } from '../../../onnx/proto/onnx_pb';
import type { NodeProto } from '../../../onnx/proto/onnx_pb';
import { classifyBranch } from './classify';
import type { GraphIndex, GraphNode } from '../graph-index';
import { isInnerSum, isSum } from './residual-candidates';
import type { Candidate } from './residual-candidates';

/** A sum of a stream and branches, ordered so that the stream passes through one add after the other. */
export interface Chain {
  /** One add for each term. */
  readonly adds: readonly GraphNode[];
  readonly terms: readonly Term[];
}

interface Term {
  /** The term itself. */
  readonly value: string;
  /** Term including constants that are only added to it, such as a bias. */
  readonly biased: string;
}

/**
 * Reorders adds of parallel branches, such as (attention + MLP) + stream, so that each is added to the stream in turn,
 * attention first. The sum is the same up to rounding. Undefined if no operand has to move.
 */
export function separateTerms(
  nodes: readonly NodeProto[],
  index: GraphIndex,
  candidates: readonly Candidate[],
): NodeProto[] | undefined {
  const replaced = new Map<NodeProto, NodeProto>();
  for (const candidate of candidates) {
    const sum = candidate.terms.length > 1 ? readSum(candidate, index) : undefined;
    if (sum === undefined || findChain(candidate, index) !== undefined) {
      continue;
    }
    const isAttention = ({ value }: Term): boolean =>
      classifyBranch(ownNodes(candidate, value, index), index, []).endsWith('attention');
    const terms = [...sum.terms].sort((a, b) => Number(isAttention(b)) - Number(isAttention(a)));
    let stream = candidate.start;
    for (const [i, { proto, outputs }] of sum.adds.entries()) {
      const copy = clone(NodeProtoSchema, proto);
      copy.input = [stream, terms[i]?.biased ?? '', ...proto.input.slice(2)];
      replaced.set(proto, copy);
      stream = outputs[0] ?? '';
    }
  }
  return replaced.size === 0 ? undefined : nodes.map((node) => replaced.get(node) ?? node);
}

/** Sum of a candidate, if the stream already passes through its adds in sequence. */
export function findChain(candidate: Candidate, index: GraphIndex): Chain | undefined {
  const sum = readSum(candidate, index);
  let stream = candidate.start;
  const terms: Term[] = [];
  for (const { inputs, outputs } of sum?.adds ?? []) {
    const term = sum?.terms.find(({ biased }) => inputs.includes(biased));
    if (term === undefined || !inputs.includes(stream)) {
      return undefined;
    }
    terms.push(term);
    [stream = ''] = outputs;
  }
  return sum && { adds: sum.adds, terms };
}

/** Nodes on the ways to one of several parallel terms, and to no other. */
export function ownNodes(
  { start, terms }: Candidate,
  term: string,
  index: GraphIndex,
): ReadonlySet<GraphNode> {
  const others = terms.filter((other) => other !== term);
  const shared = others.map((other) => index.between(start, other));
  return new Set(
    [...index.between(start, term)].filter((node) => !shared.some((way) => way.has(node))),
  );
}

/** Adds and terms of a sum; undefined if a constant is added to several terms together. */
function readSum({ add, start, terms }: Candidate, index: GraphIndex): Chain | undefined {
  const adds: GraphNode[] = [];
  const leaves: Term[] = [];
  const unclear: GraphNode[] = [];
  /** The term that `value` holds, or undefined if it holds several. */
  const visit = (value: string): string | undefined => {
    const node = index.producers.get(value);
    if (node === undefined || !isSum(node) || (node !== add && !isInnerSum(value, index))) {
      return value;
    }
    const operands = node.inputs.filter((input) => !index.constants.has(input));
    const [first = '', second] = operands;
    if (second === undefined) {
      const only = visit(first);
      if (only === undefined) {
        unclear.push(node);
      }
      return only;
    }
    if (operands.length > 2 || node.inputs.length > operands.length) {
      unclear.push(node);
    }
    for (const operand of operands) {
      const term = visit(operand);
      if (term !== undefined) {
        leaves.push({ value: term, biased: operand });
      }
    }
    adds.push(node);
    return undefined;
  };
  visit(add.outputs[0] ?? '');
  const stream = leaves.find(({ value }) => value === start);
  const others = leaves.filter(({ value }) => value !== start);
  const isWhole = adds.length === terms.length && others.length === terms.length;
  const isClear = unclear.length === 0 && stream?.biased === start;
  return isClear && isWhole ? { adds, terms: others } : undefined;
}
