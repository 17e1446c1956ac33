import type { Dimension } from '../../onnx/graph-builder';
import { say } from '../../message';
import type { Message } from '../../message';

/** Kind of operation of a node, which determines its appearance. */
export type FlowKind =
  | 'input'
  | 'output'
  | 'weights'
  | 'norm'
  | 'attention'
  | 'cache'
  | 'combine'
  | 'operator';

/** Values that a tool assigned to an item or its contents. */
export interface ValueRange {
  readonly least: number;
  readonly most: number;
}

/**
 * In a diagram of two models: the model that alone contains an item, or `changed` if the item
 * differs.
 */
export type FlowDifference = 'model' | 'against' | 'changed';

/** One operation. */
export interface FlowNode {
  readonly id: string;
  readonly label: Message;
  readonly detail?: Message;
  /** Name in the graph. */
  readonly name?: string;
  readonly kind: FlowKind;
  /** Names of the tensors that it reads, as the files name them. */
  readonly tensors: readonly string[];
  readonly value?: ValueRange;
  readonly difference?: FlowDifference;
}

/** Operations that are drawn as one until they are asked for. */
export interface FlowGroup {
  readonly id: string;
  readonly label: Message;
  readonly detail?: Message;
  /** A `run` holds parts of equal structure, which a fold shows once. */
  readonly kind: 'run' | 'block' | 'sublayer' | 'part';
  /** Row of the table of tensors that it represents, such as `block.3.attention`. */
  readonly row?: string;
  /**
   * For a run: number of children shown while it is folded. The others repeat them in this order.
   */
  readonly shown?: number;
  readonly children: readonly FlowItem[];
  readonly value?: ValueRange;
  readonly difference?: FlowDifference;
}

export type FlowItem = FlowNode | FlowGroup;

/** Value passed from one node to another. */
export interface FlowEdge {
  readonly from: string;
  readonly to: string;
  readonly shape?: readonly Dimension[];
  /** True for shared weights: the edge carries no values. */
  readonly shared?: boolean;
}

/** Data flow of a model. */
export interface Flow {
  readonly source: 'architecture' | 'graph';
  /** In model order. */
  readonly items: readonly FlowItem[];
  readonly edges: readonly FlowEdge[];
  /** Nodes of a graph that are not drawn: they follow from sizes alone. */
  readonly omitted: number;
}

/** Why there is no flow to be drawn. */
export interface UnknownFlow {
  readonly reason: Message;
}

export const blockLabel = (block: number | string): Message => say`Block ${block}`;

export function isGroup(item: FlowItem): item is FlowGroup {
  return 'children' in item;
}

/** Number of repeats of a run; 1 of other groups. */
export function repeatCount({ shown, children }: FlowGroup): number {
  return shown === undefined ? 1 : children.length / shown;
}

/** All items, groups before their children. */
export function* everyItem(items: readonly FlowItem[]): Generator<FlowItem> {
  for (const item of items) {
    yield item;
    if (isGroup(item)) {
      yield* everyItem(item.children);
    }
  }
}
