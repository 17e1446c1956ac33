import type { Dimension } from '../../onnx/graph-builder';
import { say, inEnglish } from '../../message';
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

/** Texts of an item that are the same in every language. */
export const itemTexts = ({ label, detail }: FlowItem): readonly string[] =>
  [label, ...(detail === undefined ? [] : [detail])].map(inEnglish);

/**
 * Signature of a block's structure: its operations in order, the shapes of their weights, and their
 * connections.
 * @param shapes Shapes of the tensors by name.
 */
export function blockSignature(
  group: FlowGroup,
  edges: readonly FlowEdge[],
  shapes: ReadonlyMap<string, readonly number[]>,
): string {
  const items = [...everyItem(group.children)];
  const places = new Map(items.map(({ id }, place) => [id, String(place)]));
  const operations = items.map((item) =>
    isGroup(item)
      ? [item.kind, ...itemTexts(item), item.children.length].join('|')
      : [
          item.kind,
          ...itemTexts(item),
          ...item.tensors.map((name) => shapes.get(name)?.join('×')),
        ].join('|'),
  );
  const joints = edges
    .filter(({ to }) => places.has(to))
    .map(({ from, to }) => `${places.get(from) ?? ''}>${places.get(to) ?? ''}`);
  return [...operations, ...joints.sort()].join('\n');
}

/** Edges that lead to a node of each group. */
export function edgesWithin(
  groups: readonly FlowGroup[],
  edges: readonly FlowEdge[],
): Map<string, FlowEdge[]> {
  const homes = new Map(
    groups.flatMap(({ id, children }) => [...everyItem(children)].map((item) => [item.id, id])),
  );
  const found = new Map<string, FlowEdge[]>();
  for (const edge of edges) {
    const home = homes.get(edge.to);
    if (home !== undefined) {
      const list = found.get(home) ?? [];
      found.set(home, list);
      list.push(edge);
    }
  }
  return found;
}
