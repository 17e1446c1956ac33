import type { GraphNode } from '../graph-index';
import { intAttribute, intsAttribute } from '../graph-index';
import { constantByExpert } from './constants-by-expert';
import type { ConstantByExpert } from './constants-by-expert';
import type { MixtureGraph, ReadByExpert } from './router';

/** Operators that only rearrange their input values. */
const moving = new Set([
  'Reshape',
  'Flatten',
  'Cast',
  'Unsqueeze',
  'Squeeze',
  'Identity',
  'Transpose',
  'Slice',
  'Expand',
  'Tile',
  'Clip',
]);

/** Uses of the indices of the selected experts. */
export interface UsesOfNumbers {
  /** Weights of all experts that are indexed. */
  readonly fetched: readonly ReadByExpert[];
  /** Table that renumbers experts, which pruned graphs have. */
  readonly table: TableOfNumbers | undefined;
  /** First node that compares the indices, or uses them in an unknown way. */
  readonly compared: GraphNode | undefined;
}

interface TableOfNumbers extends ReadByExpert {
  readonly numbers: readonly number[];
}

/** Traces `chosen`, the indices of the selected experts. */
export function expertNumberUses(
  chosen: string,
  count: number,
  scores: readonly string[],
  graph: MixtureGraph,
): UsesOfNumbers {
  const { index, shapes } = graph;
  const fetched: ReadByExpert[] = [];
  let table: TableOfNumbers | undefined;
  let compared: GraphNode | undefined;
  const known = new Set([chosen]);
  for (const value of known) {
    for (const node of index.consumersOf(value).filter((reader) => graph.live.has(reader))) {
      const { op, proto, outputs } = node;
      const constant = fetchedBy(node, value, count, graph);
      const numbers = constant && shapes.contents(proto.input[0] ?? '');
      if (constant !== undefined && numbers?.every((one) => typeof one === 'number') === true) {
        table = { node, place: 0, constant, numbers };
      } else if (constant !== undefined) {
        fetched.push({ node, place: 0, constant });
      } else if (moving.has(op) && proto.input[0] === value) {
        outputs.forEach((output) => known.add(output));
      } else if (
        op !== 'Shape' &&
        !(op === 'GatherElements' && scores.includes(proto.input[0] ?? ''))
      ) {
        compared ??= node;
      }
    }
  }
  return { fetched, table, compared };
}

/** Constant from which a node gathers the weights of the experts with indices `value`. */
function fetchedBy(
  { op, proto }: GraphNode,
  value: string,
  count: number,
  graph: MixtureGraph,
): ConstantByExpert | undefined {
  const [data = '', indices] = proto.input;
  const isByRow =
    (op === 'Gather' && intAttribute(proto, 'axis', 0) === 0) ||
    (op === 'GatherND' &&
      intAttribute(proto, 'batch_dims', 0) === 0 &&
      graph.shapes.of(value)?.at(-1) === 1);
  return isByRow && indices === value ? constantByExpert(data, 0, count, graph) : undefined;
}

/** Values that belong to a single expert, by name, with the expert's index in the graph. */
export type Selected = ReadonlyMap<string, number>;

/**
 * Follows `numbers` to comparisons with an expert's index, by Equal or by position along the axis of OneHot or
 * ScatterElements. Returns a reason if there is another use.
 */
export function selectedBy(numbers: string, graph: MixtureGraph): Selected | string {
  const { index, shapes, live } = graph;
  const selected = new Map<string, number>();
  // undefined for the indices themselves; otherwise the axis with one position per expert.
  const known = new Map<string, number | undefined>([[numbers, undefined]]);
  const constantNumber = (value: string): number | undefined => {
    const [only, ...others] = index.constants.has(value) ? (shapes.contents(value) ?? []) : [];
    return typeof only === 'number' && others.length === 0 ? only : undefined;
  };
  for (const [value, axis] of known) {
    for (const node of index.consumersOf(value).filter((reader) => live.has(reader))) {
      const { op, proto, outputs } = node;
      const [output = ''] = outputs;
      const along = intAttribute(proto, 'axis', op === 'OneHot' ? -1 : 0);
      if (op === 'Shape') {
        continue;
      }
      if (axis === undefined) {
        const other = constantNumber(node.inputs.find((input) => input !== value) ?? '');
        if (op === 'Equal' && other !== undefined) {
          selected.set(output, other);
        } else if (op === 'OneHot' || (op === 'ScatterElements' && proto.input[1] === value)) {
          known.set(output, along);
        } else if (moving.has(op) && proto.input[0] === value) {
          known.set(output, undefined);
        } else {
          return `the numbers of the chosen experts go to ${op}`;
        }
        continue;
      }
      const place = op === 'Gather' ? constantNumber(proto.input[1] ?? '') : undefined;
      const perm = op === 'Transpose' ? intsAttribute(proto, 'perm') : undefined;
      if (place !== undefined && along === axis) {
        selected.set(output, place);
      } else if (perm !== undefined) {
        known.set(output, perm.indexOf(axis < 0 ? axis + perm.length : axis));
      } else if (op === 'Cast' || op === 'Identity') {
        known.set(output, axis);
      } else if (op === 'Split' && along === axis && isByOnes(node, graph)) {
        outputs.forEach((one, i) => selected.set(one, i));
      } else {
        return `expert indices are read by ${op}`;
      }
    }
  }
  return selected;
}

/** True if all outputs of a Split have size 1. */
function isByOnes({ proto, outputs }: GraphNode, { shapes }: MixtureGraph): boolean {
  const sizes = shapes.contents(proto.input[1] ?? '') ?? intsAttribute(proto, 'split');
  return sizes?.length === outputs.length && sizes.every((size) => size === 1);
}
