import type { FlowDifference, FlowGroup, FlowKind, ValueRange } from './flow-document';

/** A box of a diagram; sizes and places in pixels at full size, from the top left corner. */
export interface DiagramNode {
  readonly id: string;
  readonly label: string;
  readonly detail?: string;
  /** As a graph names it. */
  readonly name?: string;
  readonly kind: FlowKind | FlowGroup['kind'];
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  /** 1 for those that stand in no other. */
  readonly level: number;
  readonly parent?: string;
  /** Whether others are drawn inside of it. */
  readonly frame: boolean;
  /** Undefined where it cannot be opened or folded. */
  readonly expanded?: boolean;
  /** How many parts of equal structure it stands for, of which one is drawn. */
  readonly times: number;
  /** Rows of the table of tensors that it stands for: `block.N`, `block.N.KIND`, `tensor:NAME`. */
  readonly rows: readonly string[];
  /** Ids of the sublayers that it stands for. */
  readonly sublayers: readonly string[];
  /** Numbers of a file for what it stands for. */
  readonly value?: ValueRange;
  /** In a diagram of two models. */
  readonly difference?: FlowDifference;
}

export interface DiagramPoint {
  readonly x: number;
  readonly y: number;
}

export interface DiagramEdge {
  readonly points: readonly DiagramPoint[];
  /** Weights that are shared, as opposed to values that flow. */
  readonly shared: boolean;
  /** Whether it ends in a node, and not at the border of a frame. */
  readonly arrow: boolean;
  /** Sizes of the value, where they are known and change here; at the middle of its left side. */
  readonly shape?: { readonly text: string; readonly at: DiagramPoint };
}

/** A flow laid out as it is open at the moment. */
export interface Diagram {
  readonly source: 'architecture' | 'graph';
  readonly width: number;
  readonly height: number;
  /** Frames before what stands in them, each in the order of the model. */
  readonly nodes: readonly DiagramNode[];
  readonly edges: readonly DiagramEdge[];
  readonly omitted: number;
  /** Whether it is of two models. */
  readonly joined?: boolean;
  /** Of all numbers of a file; undefined without one. */
  readonly values?: DiagramValues;
}

/** The numbers that a diagram is drawn with. */
export interface DiagramValues extends ValueRange {
  readonly file: string;
  /** How many the file has, and how many boxes of the whole diagram have some. */
  readonly count: number;
  readonly found: number;
}
