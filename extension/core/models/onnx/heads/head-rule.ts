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

/** Result of a rule. */
export interface HeadRuleResult {
  /** Input indices and places of inputs that contain the groups. */
  readonly follows: readonly (readonly [input: number, place: GroupPlace])[];
  /** Cache inputs and additional outputs that contain the groups. */
  readonly caches?: readonly (readonly [input: number, place: GroupPlace])[];
  readonly gives?: readonly (readonly [output: number, place: GroupPlace])[];
  /** Size inputs that depend on the number of groups. */
  readonly sizes?: readonly GroupSizes[];
  /** Attributes that depend on the number of groups. */
  readonly attributes?: readonly string[];
  /** Range of the first input's axis that this output is. */
  readonly piece?: { readonly from: number; readonly to: number; readonly place: GroupPlace };
}

/** Sizes of the groups of heads at an operator. */
export interface GroupSizes {
  readonly input: number;
  /** Values by their index in the input. */
  readonly numbers: ReadonlyMap<number, number>;
}

/** Returns undefined if the inputs of a group can't be determined. */
export type HeadRule = (query: HeadQuery) => HeadRuleResult | undefined;
