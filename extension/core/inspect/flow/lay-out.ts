import { Graph, layout } from '@dagrejs/dagre';
import type { Diagram, DiagramEdge, DiagramNode, DiagramPoint } from './diagram';
import { isGroup, timesOf } from './flow-document';
import type { Flow, FlowItem } from './flow-document';
import { visibleFlow } from './visible-flow';
import type { Level, LevelEdge, Visible, VisibleFlow } from './visible-flow';

/** Sizes in pixels; texts are drawn at 12 pixels, details at 11, in whatever font the editor has. */
const labelWidth = 7.2;
const detailWidth = 6.4;
const leastWidth = 76;
const padding = 14;
const titleHeight = 26;
/** Room for the colours of what sublayers are worth. */
const stripHeight = 8;
/** Beyond this the exact ranks take seconds. */
const manyNodes = 160;

interface Size {
  readonly width: number;
  readonly height: number;
}

/** A frame laid out by itself. */
interface Laid extends Size {
  readonly nodes: readonly DiagramNode[];
  readonly edges: readonly DiagramEdge[];
  /** Horizontal places at the border, by operation. */
  readonly entries: ReadonlyMap<string, number>;
  readonly exits: ReadonlyMap<string, number>;
}

/**
 * Lays out a flow in layers from top to bottom (Sugiyama's method, by dagre), each frame by itself and
 * as one node of the frame around it, so that opening one leaves the others as they are.
 */
export function layOut(flow: Flow, open: ReadonlySet<string>): Diagram {
  const visible = visibleFlow(flow, open);
  const { width, height, nodes, edges } = layFrame(
    undefined,
    visible.roots,
    visible,
    1,
    inputShapes(flow),
  );
  return { source: flow.source, width, height, nodes, edges, omitted: flow.omitted };
}

/** What each operation gets first, to tell where sizes change. */
function inputShapes({ edges }: Flow): Map<string, string> {
  const shapes = new Map<string, string>();
  for (const { to, shape } of edges) {
    if (shape !== undefined && !shapes.has(to)) {
      shapes.set(to, shapeText(shape));
    }
  }
  return shapes;
}

function shapeText(shape: readonly (number | string)[]): string {
  return shape.join(' × ');
}

function layFrame(
  frame: Visible | undefined,
  children: readonly Visible[],
  flow: VisibleFlow,
  level: number,
  shapes: ReadonlyMap<string, string>,
): Laid {
  const inner = new Map(
    children.flatMap((child) =>
      child.children === undefined
        ? []
        : [[child, layFrame(child, child.children, flow, level + 1, shapes)] as const],
    ),
  );
  const { edges, entries, exits } = flow.levels.get(frame) ?? noLevel;
  const graph = new Graph({ multigraph: true });
  graph.setGraph({
    rankdir: 'TB',
    nodesep: 22,
    edgesep: 14,
    ranksep: 18,
    ranker: children.length > manyNodes ? 'tight-tree' : 'network-simplex',
  });
  for (const child of children) {
    const size = inner.get(child) ?? boxSize(child);
    graph.setNode(child.item.id, { width: size.width, height: size.height });
  }
  addPorts(graph, entries, exits);
  const labelled = new Set<string>();
  const labels = edges.map((edge) => labelOf(edge, labelled, shapes));
  edges.forEach(({ from, to }, i) => {
    const label = labels[i];
    const size =
      label === undefined
        ? {}
        : { width: label.length * detailWidth + 6, height: 16, labelpos: 'r' };
    graph.setEdge(endName(from, 'in'), endName(to, 'out'), { weight: 1, ...size }, String(i));
  });
  layout(graph);
  return place(frame, children, inner, graph, { edges, entries, exits }, labels, level);
}

const noLevel: Level = { edges: [], entries: [], exits: [] };

function endName(end: Visible | string, port: 'in' | 'out'): string {
  return typeof end === 'string' ? `${port}:${end}` : end.item.id;
}

/** Values come in at the top and go out at the bottom, whatever the ranks of their readers. */
function addPorts(graph: Graph, entries: readonly string[], exits: readonly string[]): void {
  const port = { width: 8, height: 1 };
  for (const [kind, names] of [
    ['in', entries],
    ['out', exits],
  ] as const) {
    if (names.length > 0) {
      graph.setNode(`${kind} border`, { width: 1, height: 1 });
    }
    for (const name of names) {
      graph.setNode(`${kind}:${name}`, { ...port });
      const [from, to] = [`${kind} border`, `${kind}:${name}`];
      const pair = kind === 'in' ? ([from, to] as const) : ([to, from] as const);
      graph.setEdge(...pair, { weight: 100 }, 'border');
    }
  }
}

/** The sizes of a value, once for each source and only where they are not those of its input. */
function labelOf(
  { from, edge }: LevelEdge,
  labelled: Set<string>,
  shapes: ReadonlyMap<string, string>,
): string | undefined {
  const text = edge.shape === undefined ? '' : shapeText(edge.shape);
  if (
    text === '' ||
    typeof from === 'string' ||
    edge.shared === true ||
    labelled.has(from.item.id) ||
    shapes.get(edge.from) === text
  ) {
    return undefined;
  }
  labelled.add(from.item.id);
  return text;
}

function boxSize({ item, expanded }: Visible): Size {
  const detail = item.detail ?? '';
  const twisty = expanded === undefined ? 0 : 16;
  const text = Math.max(item.label.length * labelWidth + twisty, detail.length * detailWidth);
  const strip = isGroup(item) && item.kind === 'sublayer' ? stripHeight : 0;
  if (!isGroup(item) && item.kind === 'combine' && item.label.length === 1) {
    return { width: 26, height: 26 };
  }
  return {
    width: Math.max(leastWidth, text + 24),
    height: (detail === '' ? 28 : 42) + strip,
  };
}

function place(
  frame: Visible | undefined,
  children: readonly Visible[],
  inner: ReadonlyMap<Visible, Laid>,
  graph: Graph,
  { edges, entries, exits }: Level,
  labels: readonly (string | undefined)[],
  level: number,
): Laid {
  const isPort = (id: string): boolean => id === 'in border' || id === 'out border';
  const boxes = graph.nodes().flatMap((id) => (isPort(id) ? [] : [graph.node(id)]));
  const bends = graph
    .edges()
    .flatMap((edge) => (edge.name === 'border' ? [] : (graph.edge(edge).points ?? [])));
  // The library leaves the lines that run beside all boxes out of its sizes.
  const left = Math.min(
    ...boxes.map(({ x = 0, width }) => x - width / 2),
    ...bends.map(({ x }) => x),
  );
  const right = Math.max(
    ...boxes.map(({ x = 0, width }) => x + width / 2),
    ...bends.map(({ x }) => x),
  );
  const top = Math.min(...boxes.map(({ y = 0, height }) => y - height / 2));
  const bottom = Math.max(...boxes.map(({ y = 0, height }) => y + height / 2));
  const title = frame === undefined ? 0 : titleHeight;
  const titleWidth = frame === undefined ? 0 : titleLength(frame) * labelWidth + 40;
  const ownWidth = right - left + 2 * padding;
  const width = Math.max(ownWidth, titleWidth);
  const dx = padding + (width - ownWidth) / 2 - left;
  const dy = title + (frame === undefined ? padding : 6) - top;
  const height = bottom + dy + (frame === undefined ? padding : 8);
  const at = ({ x = 0, y = 0 }: { x?: number; y?: number }): DiagramPoint => ({
    x: x + dx,
    y: y + dy,
  });
  const nodes: DiagramNode[] = [];
  const drawn: DiagramEdge[] = [];
  const corners = new Map<Visible, DiagramPoint>();
  for (const child of children) {
    const box = graph.node(child.item.id);
    const middle = at(box);
    const corner = { x: middle.x - box.width / 2, y: middle.y - box.height / 2 };
    corners.set(child, corner);
    nodes.push(nodeOf(child, corner, box, level, frame));
    const laid = inner.get(child);
    if (laid !== undefined) {
      const moved = (point: DiagramPoint): DiagramPoint => ({
        x: point.x + corner.x,
        y: point.y + corner.y,
      });
      nodes.push(...laid.nodes.map((node) => ({ ...node, ...moved(node) })));
      drawn.push(
        ...laid.edges.map((edge) => ({
          ...edge,
          points: edge.points.map(moved),
          ...(edge.shape === undefined
            ? {}
            : { shape: { text: edge.shape.text, at: moved(edge.shape.at) } }),
        })),
      );
    }
  }
  edges.forEach(({ from, to, edge }, i) => {
    const found = graph.edge(endName(from, 'in'), endName(to, 'out'), String(i));
    const points = (found.points ?? []).map(at);
    const first = typeof from === 'string' ? { x: points[0]?.x, y: 0 } : borderOf(from, 'exits');
    const last =
      typeof to === 'string' ? { x: points.at(-1)?.x, y: height } : borderOf(to, 'entries');
    const text = labels[i];
    // Between neighbours the way is clear, and only leads to where a frame goes on inside.
    const isDirect = points.length <= 3 && text === undefined && (first ?? last) !== undefined;
    drawn.push({
      points: [
        ...withX(first, points[0]),
        ...(isDirect ? [] : points.slice(1, -1)),
        ...withX(last, points.at(-1)),
      ],
      shared: edge.shared === true,
      arrow: typeof to !== 'string' && to.children === undefined,
      ...(text === undefined
        ? {}
        : {
            shape: {
              text,
              at: at({ x: (found.x ?? 0) - (found.width ?? 0) / 2 + 4, y: found.y ?? 0 }),
            },
          }),
    });

    function borderOf(end: Visible, side: 'entries' | 'exits'): Partial<DiagramPoint> | undefined {
      const laid = inner.get(end);
      const corner = corners.get(end);
      if (laid === undefined || corner === undefined) {
        return undefined;
      }
      const [only] = laid[side].values();
      const x = laid[side].get(edge.from) ?? only ?? laid.width / 2;
      const y = side === 'entries' ? corner.y : corner.y + laid.height;
      return { x: corner.x + x, y };
    }
  });
  const places = (names: readonly string[], kind: 'in' | 'out'): Map<string, number> =>
    new Map(names.map((name) => [name, at(graph.node(`${kind}:${name}`)).x]));
  return {
    ...{ width, height, nodes, edges: drawn },
    entries: places(entries, 'in'),
    exits: places(exits, 'out'),
  };
}

/** The end of an edge at the border of a frame goes on inside at the same place. */
function withX(
  border: { x?: number | undefined; y?: number | undefined } | undefined,
  point: DiagramPoint | undefined,
): DiagramPoint[] {
  const x = border?.x ?? point?.x;
  const y = border?.y ?? point?.y;
  return x === undefined || y === undefined ? [] : [{ x, y }];
}

function titleLength({ item, alike }: Visible): number {
  return `${item.label} ${item.detail ?? ''} × ${alike.length}`.length + 4;
}

function nodeOf(
  visible: Visible,
  corner: DiagramPoint,
  { width, height }: Size,
  level: number,
  frame: Visible | undefined,
): DiagramNode {
  const { item, alike, children, expanded } = visible;
  const { id, label, detail, kind } = item;
  const isFolded = isGroup(item) && item.kind === 'run' && expanded === false;
  return {
    ...{ id, label, kind, ...corner, width, height, level },
    ...(detail === undefined ? {} : { detail }),
    ...(!isGroup(item) && item.name !== undefined ? { name: item.name } : {}),
    ...(frame === undefined ? {} : { parent: frame.item.id }),
    frame: children !== undefined,
    ...(expanded === undefined ? {} : { expanded }),
    times: isFolded ? timesOf(item) : 1,
    rows: [...new Set(alike.flatMap(rowsOf))],
    sublayers: alike.flatMap((one) => (isGroup(one) && one.kind === 'sublayer' ? [one.id] : [])),
  };
}

/** Rows of the table that an item stands for. */
function rowsOf(item: FlowItem): string[] {
  if (!isGroup(item)) {
    return item.tensors.map((name) => `tensor:${name}`);
  }
  return item.row === undefined ? item.children.flatMap(rowsOf) : [item.row];
}
