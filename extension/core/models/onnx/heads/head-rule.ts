import type { Dimension } from '../../../onnx/graph-builder';
import type { GraphNode } from '../graph-index';
import type { Shape } from '../values/shape-query';
import type { GroupPlace } from './group-places';

/** A node with an output that has a place for each group of heads. */
export interface HeadQuery {
  readonly node: GraphNode;
  /** The output, by its number. */
  readonly output: number;
  readonly place: GroupPlace;
  readonly groups: number;
  readonly shape: (value: string) => Shape | undefined;
  readonly contents: (value: string) => readonly Dimension[] | undefined;
}

/** What follows of it. */
export interface HeadAnswer {
  /** Inputs that have a place for each group too, by their numbers. */
  readonly follows: readonly (readonly [input: number, place: GroupPlace])[];
  /** Caches among its inputs, and outputs that have groups besides. */
  readonly caches?: readonly (readonly [input: number, place: GroupPlace])[];
  readonly gives?: readonly (readonly [output: number, place: GroupPlace])[];
  /** Sizes among the numbers that it reads which count what all groups have. */
  readonly sizes?: readonly GroupSizes[];
  /** Attributes that count what all groups have. */
  readonly attributes?: readonly string[];
  /** The run of the first input's axis that this output is. */
  readonly piece?: { readonly from: number; readonly to: number; readonly place: GroupPlace };
}

export interface GroupSizes {
  readonly input: number;
  /** By their place in the input. */
  readonly numbers: ReadonlyMap<number, number>;
}

/** Undefined where it is not known which numbers of the inputs belong to a group. */
export type HeadRule = (query: HeadQuery) => HeadAnswer | undefined;
