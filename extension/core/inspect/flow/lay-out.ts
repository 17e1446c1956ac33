import { fill, render, say } from '../../message';
import type { Message, Translate } from '../../message';
import type { Dimension } from '../../onnx/graph-builder';
import type { Diagram, DiagramEdge, DiagramNode, DiagramPoint } from './diagram';
import { isGroup, repeatCount } from './flow-document';
import type { Flow, FlowItem, ValueRange } from './flow-document';
import { joined } from './node-values';
import { rankLevel } from './rank-level';
import type { RankedLevel, Size } from './rank-level';
import { visibleFlow } from './visible-flow';
import type { Level, LevelEdge, Visible, VisibleFlow } from './visible-flow';

/** Sizes in pixels. Labels are drawn at 12 pixels, details at 11, in the editor's font. */
const labelWidth = 7.6;
const detailWidth = 6.4;
const leastWidth = 76;
const padding = 14;
const titleHeight = 26;
/** Room for the colors of importance. */
const stripHeight = 8;
/** Width of the difference sign, on both sides because labels are centered. */
const signWidth = 24;
/** A frame with its own layout. */
interface Laid extends Size {
  readonly nodes: readonly DiagramNode[];
  readonly edges: readonly DiagramEdge[];
  /** Horizontal positions at the border, by operation. */
  readonly entries: ReadonlyMap<string, number>;
  readonly exits: ReadonlyMap<string, number>;
}

/**
 * Lays out a flow in layers from top to bottom (Sugiyama's method, by dagre). Each frame is laid
 * out separately and acts as one node in the frame around it, so that opening one doesn't move the
 * contents of others.
 */
export function layOut(
  known: Flow,
  open: ReadonlySet<string>,
  translate: Translate = fill,
): Diagram {
  const flow = withSizeNames(known, translate);
  const visible = visibleFlow(flow, open, translate);
  const { width, height, nodes, edges } = layFrame(
    undefined,
    visible.roots,
    visible,
    1,
    inputShapes(flow),
  );
  return { source: flow.source, width, height, nodes, edges, omitted: flow.omitted };
}

/** Sizes that depend on the input, as an architecture names them; graphs have names of their own. */
const sizeNames: Readonly<Record<string, Message>> = {
  batch: say`batch`,
  sequence: say`sequence`,
  height: say`height`,
  width: say`width`,
};

function withSizeNames(flow: Flow, translate: Translate): Flow {
  if (flow.source === 'graph') {
    return flow;
  }
  const sizeName = (size: Dimension): Dimension => {
    const name = sizeNames[size];
    return name === undefined ? size : render(name, translate);
  };
  const edges = flow.edges.map(({ shape, ...edge }) =>
    shape === undefined ? edge : { ...edge, shape: shape.map(sizeName) },
  );
  return { ...flow, edges };
}

/** First input of each operation, to detect changes of shape. */
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
  const labelled = new Set<string>();
  const texts = edges.map((edge) => makeLabel(edge, labelled, shapes));
  const ranked = rankLevel(
    new Map(children.map((child) => [child.item.id, inner.get(child) ?? boxSize(child)])),
    { entries: entries.map((name) => `in:${name}`), exits: exits.map((name) => `out:${name}`) },
    edges.map(({ from, to }, i) => ({
      from: endName(from, 'in'),
      to: endName(to, 'out'),
      text: textSize(texts[i]),
    })),
  );
  const { at, width, height } = frameSize(frame, ranked, texts);
  const corners = new Map(
    children.map((child) => {
      const {
        x,
        y,
        width: boxWidth,
        height: boxHeight,
      } = ranked.boxes.get(child.item.id) ?? lost();
      const middle = at({ x, y });
      return [child, { x: middle.x - boxWidth / 2, y: middle.y - boxHeight / 2 }];
    }),
  );
  const nodes = children.flatMap((child): DiagramNode[] => {
    const corner = corners.get(child) ?? lost();
    const laid = inner.get(child);
    const own = makeNode(child, corner, laid ?? boxSize(child), level, frame);
    const moved = laid?.nodes.map((node) => ({ ...node, ...shifted(node, corner) })) ?? [];
    return [own, ...moved];
  });
  /** Point where a line crosses the border of a frame. */
  const borderPort = (end: Visible, operation: string, side: 'entries' | 'exits') => {
    const laid = inner.get(end);
    const corner = corners.get(end);
    if (laid === undefined || corner === undefined) {
      return undefined;
    }
    const [only] = laid[side].values();
    const x = laid[side].get(operation) ?? only ?? laid.width / 2;
    return shifted({ x, y: side === 'entries' ? 0 : laid.height }, corner);
  };
  const own = edges.map(({ from, to, edge }, i): DiagramEdge => {
    const line = ranked.lines[i] ?? lost();
    const points = line.points.map(at);
    const [first = lost(), last = lost()] = [points[0], points.at(-1)];
    const begin =
      typeof from === 'string' ? { x: first.x, y: 0 } : borderPort(from, edge.from, 'exits');
    const end =
      typeof to === 'string' ? { x: last.x, y: height } : borderPort(to, edge.from, 'entries');
    // Between neighbors the way is clear.
    const isDirect = points.length <= 3 && (begin ?? end) !== undefined;
    const text = texts[i];
    const middle = isDirect
      ? { x: ((begin ?? first).x + (end ?? last).x) / 2 + 8, y: at(line.at).y }
      : shifted(at(line.at), { x: 4 - (textSize(text)?.width ?? 0) / 2, y: 0 });
    return {
      points: [begin ?? first, ...(isDirect ? [] : points.slice(1, -1)), end ?? last],
      shared: edge.shared === true,
      arrow: typeof to !== 'string' && to.children === undefined,
      ...(text === undefined ? {} : { shape: { text, at: middle } }),
    };
  });
  const inside = children.flatMap((child) =>
    (inner.get(child)?.edges ?? []).map((edge) => shiftedEdge(edge, corners.get(child) ?? lost())),
  );
  const places = (names: readonly string[], kind: 'in' | 'out'): Map<string, number> =>
    new Map(names.map((name) => [name, at(ranked.boxes.get(`${kind}:${name}`) ?? lost()).x]));
  return {
    ...{ width, height, nodes, edges: [...inside, ...own] },
    entries: places(entries, 'in'),
    exits: places(exits, 'out'),
  };
}

const noLevel: Level = { edges: [], entries: [], exits: [] };

/** Size of a frame with its title, and the position of its contents. */
function frameSize(
  frame: Visible | undefined,
  { boxes, lines }: RankedLevel,
  texts: readonly (string | undefined)[],
): Size & { at: (point: DiagramPoint) => DiagramPoint } {
  const all = [...boxes.values()];
  // dagre's sizes don't include lines that run outside of all boxes.
  const xs = [
    ...lines.flatMap(({ points }) => points.map(({ x }) => x)),
    ...all.flatMap(({ x, width }) => [x - width / 2, x + width / 2]),
    ...lines.map(({ at }, i) =>
      texts[i] === undefined ? at.x : at.x + (textSize(texts[i])?.width ?? 0) / 2,
    ),
  ];
  const ys = all.flatMap(({ y, height }) => [y - height / 2, y + height / 2]);
  const [left, top, bottom] = [least(xs), least(ys), -least(ys.map((y) => -y))];
  const inner = -least(xs.map((x) => -x)) - left + 2 * padding;
  const width = Math.max(inner, frame === undefined ? 0 : titleWidth(frame));
  const above = frame === undefined ? padding : titleHeight + 6;
  const [dx, dy] = [padding + (width - inner) / 2 - left, above - top];
  return {
    width,
    height: bottom + dy + (frame === undefined ? padding : 8),
    at: ({ x, y }) => ({ x: x + dx, y: y + dy }),
  };
}

function least(values: readonly number[]): number {
  return values.reduce((low, value) => Math.min(low, value), Number.POSITIVE_INFINITY);
}

function textSize(text: string | undefined): Size | undefined {
  return text === undefined ? undefined : { width: textWidth(text, detailWidth) + 6, height: 16 };
}

function shifted({ x, y }: DiagramPoint, by: DiagramPoint): DiagramPoint {
  return { x: x + by.x, y: y + by.y };
}

function shiftedEdge({ points, shape, ...edge }: DiagramEdge, by: DiagramPoint): DiagramEdge {
  return {
    ...edge,
    points: points.map((point) => shifted(point, by)),
    ...(shape === undefined ? {} : { shape: { text: shape.text, at: shifted(shape.at, by) } }),
  };
}

function endName(end: Visible | string, port: 'in' | 'out'): string {
  return typeof end === 'string' ? `${port}:${end}` : end.item.id;
}

/** Label with the dimensions of a value, once per source and only if they differ from those of its input. */
function makeLabel(
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

function boxSize(visible: Visible): Size {
  const { item, alike, label, expanded } = visible;
  const detail = makeDetail(visible) ?? '';
  const twisty = expanded === undefined ? 0 : 16;
  const text = twisty + Math.max(textWidth(label, labelWidth), textWidth(detail, detailWidth));
  const hasColor = (isGroup(item) && item.kind === 'sublayer') || joined(alike) !== undefined;
  const strip = hasColor ? stripHeight : 0;
  if (isSign(visible)) {
    return { width: 26, height: 26 };
  }
  return {
    width: Math.max(leastWidth, text + 24 + (item.difference === undefined ? 0 : signWidth)),
    height: (detail === '' ? 28 : 42) + strip,
  };
}

function titleWidth(visible: Visible): number {
  const { item, label } = visible;
  const repeats = isGroup(item) ? String(repeatCount(item)) : '';
  return textWidth(`${label}, × ${repeats} ${makeDetail(visible) ?? ''}`, labelWidth) + 40;
}

function makeNode(
  visible: Visible,
  corner: DiagramPoint,
  { width, height }: Size,
  level: number,
  frame: Visible | undefined,
): DiagramNode {
  const { item, label, alike, children, expanded } = visible;
  const { id, kind } = item;
  const [detail, value] = [makeDetail(visible), joined(alike)];
  const isFolded = isGroup(item) && item.kind === 'run' && expanded === false;
  return {
    ...{ id, label, kind, ...corner, width, height, level },
    ...(detail === undefined ? {} : { detail }),
    ...(value === undefined ? {} : { value }),
    ...(item.difference === undefined ? {} : { difference: item.difference }),
    ...(!isGroup(item) && item.name !== undefined ? { name: item.name } : {}),
    ...(frame === undefined ? {} : { parent: frame.item.id }),
    frame: children !== undefined,
    ...(expanded === undefined ? {} : { expanded }),
    times: isFolded ? repeatCount(item) : 1,
    rows: [...new Set(alike.flatMap(tableRows))],
    sublayers: alike.flatMap((one) => (isGroup(one) && one.kind === 'sublayer' ? [one.id] : [])),
  };
}

/** A sum or a product, drawn as a small circle. */
function isSign({ item, label }: Visible): boolean {
  return item.kind === 'combine' && label.length === 1;
}

/** Text below a label, with the values of a file last. */
function makeDetail(visible: Visible): string | undefined {
  const value = isSign(visible) ? undefined : joined(visible.alike);
  const parts = [visible.detail, value && rangeText(value)].filter((part) => part !== undefined);
  return parts.length === 0 ? undefined : parts.join(' · ');
}

/** Three significant digits of one number, or of the least and the most. */
function rangeText({ least: from, most: to }: ValueRange): string {
  const ends = [from, to].map((value) => String(Number(value.toPrecision(3))));
  return [...new Set(ends)].join(' – ');
}

/** Rows of the table that an item represents. */
function tableRows(item: FlowItem): string[] {
  if (!isGroup(item)) {
    return item.tensors.map((name) => `tensor:${name}`);
  }
  return item.row === undefined ? item.children.flatMap(tableRows) : [item.row];
}

function lost(): never {
  throw new RangeError('a box without a place');
}

/** Letters of Chinese, Japanese and Korean, and their punctuation. */
const wide = /[\u1100-\u115F\u2E80-\u9FFF\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE4F\uFF00-\uFF60]/g;
/** Width of a wide letter in Latin letters, with a margin for unknown fonts. */
const wideLetters = 1.75;

/** About how wide a text is, in pixels; `letter` is the width of a Latin letter. */
function textWidth(text: string, letter: number): number {
  const count = text.match(wide)?.length ?? 0;
  return (text.length + (wideLetters - 1) * count) * letter;
}
