import { Graph, layout } from '@dagrejs/dagre';
import type { EdgeLabel, GraphLabel, NodeLabel } from '@dagrejs/dagre';
import type { DiagramPoint } from './diagram';

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** A box by its middle. */
export interface Ranked extends Size, DiagramPoint {}

/** A line to be routed between two boxes or borders, and the room that its text takes. */
export interface Line {
  readonly from: string;
  readonly to: string;
  readonly text: Size | undefined;
}

export interface RankedLevel {
  readonly boxes: ReadonlyMap<string, Ranked>;
  readonly lines: readonly {
    readonly points: readonly DiagramPoint[];
    /** Middle of its text. */
    readonly at: DiagramPoint;
  }[];
}

/** With more boxes, exact ranks take seconds. */
const manyBoxes = 160;
const port = { width: 8, height: 1 };

/**
 * Assigns boxes to ranks from top to bottom (Sugiyama's method). Ports in `entries` get the first
 * rank and ports in `exits` the last, regardless of the ranks of the boxes they connect.
 */
export function rankLevel(
  boxes: ReadonlyMap<string, Size>,
  ports: { readonly entries: readonly string[]; readonly exits: readonly string[] },
  lines: readonly Line[],
): RankedLevel {
  const graph = new Graph<GraphLabel, NodeLabel, EdgeLabel>({ multigraph: true });
  graph.setGraph({
    rankdir: 'TB',
    nodesep: 22,
    edgesep: 14,
    ranksep: 18,
    ranker: boxes.size > manyBoxes ? 'tight-tree' : 'network-simplex',
  });
  for (const [id, { width, height }] of boxes) {
    graph.setNode(id, { width, height });
  }
  for (const [names, isEntry] of [
    [ports.entries, true],
    [ports.exits, false],
  ] as const) {
    const border = isEntry ? 'first rank' : 'last rank';
    for (const name of names) {
      graph.setNode(border, { width: 1, height: 1 });
      graph.setNode(name, { ...port });
      const [from, to] = isEntry ? [border, name] : [name, border];
      graph.setEdge(from, to, { weight: 100 }, 'border');
    }
  }
  lines.forEach(({ from, to, text }, i) => {
    graph.setEdge(from, to, { weight: 1, ...text, labelpos: 'r' }, String(i));
  });
  layout(graph);
  return {
    boxes: new Map(
      [...boxes.keys(), ...ports.entries, ...ports.exits].map((id) => {
        const { x = 0, y = 0, width, height } = graph.node(id);
        return [id, { x, y, width, height }];
      }),
    ),
    lines: lines.map(({ from, to }, i) => {
      const { points = [], x = 0, y = 0 } = graph.edge(from, to, String(i));
      return { points, at: { x, y } };
    }),
  };
}
