import type { FlowDifference, FlowGroup, FlowKind, ValueRange } from './flow-document';

/** Box of a diagram. Sizes and positions are pixels at full size, from the top left corner. */
export interface DiagramNode {
  readonly id: string;
  readonly label: string;
  readonly detail?: string;
  /** Name in the graph. */
  readonly name?: string;
  readonly kind: FlowKind | FlowGroup['kind'];
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  /** Nesting depth; 1 for nodes outside of all frames. */
  readonly level: number;
  readonly parent?: string;
  /** True if other nodes are drawn inside of it. */
  readonly frame: boolean;
  /** Undefined if it can't be expanded. */
  readonly expanded?: boolean;
  /** Number of identical parts that this node represents. One of them is drawn. */
  readonly times: number;
  /** Rows of the table of tensors that it represents: `block.N`, `block.N.KIND`, `tensor:NAME`. */
  readonly rows: readonly string[];
  /** Ids of the sublayers that it represents. */
  readonly sublayers: readonly string[];
  /** Range of a file's values for the parts that it represents. */
  readonly value?: ValueRange;
  /** Set in a diagram of two models. */
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
  /** True if the line ends at a node, false at the border of a frame. */
  readonly arrow: boolean;
  /**
   * Dimensions of the value, if they are known and change here, with the position of the middle of
   * the label's left side.
   */
  readonly shape?: { readonly text: string; readonly at: DiagramPoint };
}

/** A flow laid out as it is open at the moment. */
export interface Diagram {
  readonly source: 'architecture' | 'graph';
  readonly width: number;
  readonly height: number;
  /** Nodes in the order of the model; a frame precedes its contents. */
  readonly nodes: readonly DiagramNode[];
  readonly edges: readonly DiagramEdge[];
  readonly omitted: number;
  /** True if the diagram joins two models. */
  readonly joined?: boolean;
  /** Range of all values of a file; undefined without a file. */
  readonly values?: DiagramValues;
}

/** Values shown on a diagram. */
export interface DiagramValues extends ValueRange {
  readonly file: string;
  /** Number of values in the file, and number of boxes of the complete diagram that have values. */
  readonly count: number;
  readonly found: number;
}
