import { paletteColor } from '../charts/palette';
import { h, svg } from '../dom';
import { formatDistance } from '../format';
import { strings } from './strings';
import type { Diagram, DiagramNode } from './types';
import type { WorthScale } from './worth-scale';

/** A diagram as drawn. */
export interface Drawing {
  readonly element: SVGSVGElement;
  readonly boxes: ReadonlyMap<string, SVGGElement>;
}

/** Height of the colours of what sublayers are worth, which the layout leaves room for. */
const stripHeight = 6;
const titleHeight = 26;

/** Draws a diagram as a tree of boxes (WAI-ARIA tree) over its edges. */
export function drawDiagram(
  { width, height, nodes, edges }: Diagram,
  worth: WorthScale | undefined,
): Drawing {
  const boxes = new Map(nodes.map((node) => [node.id, box(node, worth)]));
  const frames = nodes.filter(({ frame }) => frame);
  const element = svg(
    'svg',
    { viewBox: `0 0 ${width} ${height}`, role: 'tree', 'aria-label': strings.diagramLabel },
    svg('defs', {}, arrowHead()),
    svg('g', { role: 'presentation' }, ...frames.map(stack)),
    svg('g', { role: 'presentation', 'aria-hidden': 'true' }, ...frames.map(background)),
    svg(
      'g',
      { class: 'edges', role: 'presentation', 'aria-hidden': 'true' },
      ...edges.map(({ points, shared, arrow }) =>
        svg('path', {
          d: pathOf(points),
          class: shared ? 'edge shared' : 'edge',
          'marker-end': arrow ? 'url(#arrow)' : undefined,
        }),
      ),
      ...edges.flatMap(({ shape }) =>
        shape === undefined
          ? []
          : [svg('text', { class: 'shape', x: shape.at.x, y: shape.at.y + 4 }, shape.text)],
      ),
    ),
    svg('g', { role: 'presentation' }, ...boxes.values()),
  );
  return { element, boxes };
}

function arrowHead(): SVGElement {
  return svg(
    'marker',
    {
      ...{ id: 'arrow', viewBox: '0 0 8 8', refX: 7, refY: 4 },
      ...{ markerWidth: 7, markerHeight: 7, orient: 'auto' },
    },
    svg('path', { d: 'M0,0.5 L8,4 L0,7.5 Z', class: 'arrow-head' }),
  );
}

/** A folded run looks like a pile. */
function stack({ times, x, y, width, height }: DiagramNode): SVGElement {
  const sheets = times > 1 ? [8, 4] : [];
  return svg(
    'g',
    { 'aria-hidden': 'true' },
    ...sheets.map((by) =>
      svg('rect', { class: 'sheet', x: x + by, y: y + by, width, height, rx: 6 }),
    ),
  );
}

function background({ id, kind, x, y, width, height }: DiagramNode): SVGElement {
  return svg('rect', { class: `frame ${kind}`, x, y, width, height, rx: 6, 'data-frame': id });
}

function box(node: DiagramNode, worth: WorthScale | undefined): SVGGElement {
  const { id, label, detail, kind, x, y, width, height, level, frame, expanded, times } = node;
  const title = times > 1 ? strings.times(label, String(times)) : label;
  const told = worth === undefined ? undefined : worthText(node, worth);
  const parts = [title, detail, node.name, told].filter((text) => text !== undefined);
  return svg(
    'g',
    {
      class: `box ${frame ? 'open' : 'closed'} ${kind}`,
      role: 'treeitem',
      'aria-level': level,
      'aria-label': parts.join(', '),
      'aria-expanded': expanded === undefined ? undefined : String(expanded),
      'aria-selected': 'false',
      'data-id': id,
      tabindex: -1,
      transform: `translate(${x} ${y})`,
    },
    svg('title', {}, parts.join('\n')),
    ...(frame ? frameTitle(node, title) : closed(node)),
    ...(worth === undefined || frame ? [] : strip(node, worth)),
    svg('rect', { class: 'focus', x: 0, y: 0, width, height: frame ? titleHeight : height, rx: 5 }),
  );
}

function frameTitle({ detail, expanded }: DiagramNode, title: string): SVGElement[] {
  const from = expanded === undefined ? 10 : 26;
  return [
    ...(expanded === undefined ? [] : [twisty(expanded, 8, titleHeight / 2)]),
    svg(
      'text',
      { class: 'title', x: from, y: titleHeight / 2 + 4 },
      title,
      detail === undefined ? undefined : svg('tspan', { class: 'detail', dx: 6 }, detail),
    ),
  ];
}

function closed({ kind, label, detail, width, height, expanded, sublayers }: DiagramNode) {
  const isRound = kind === 'combine' && width === height;
  const room = sublayers.length > 0 ? height - stripHeight - 2 : height;
  const middle = expanded === undefined ? width / 2 : width / 2 + 7;
  const first = room / 2 + (detail === undefined ? 4 : -3);
  return [
    svg('rect', {
      ...{ class: 'shape-box', x: 0, y: 0, width, height },
      rx: isRound || kind === 'input' || kind === 'output' ? height / 2 : 4,
    }),
    ...(isRound || kind === 'input' || kind === 'output'
      ? []
      : [svg('rect', { class: 'accent', x: 0, y: 4, width: 3, height: height - 8 })]),
    ...(expanded === undefined ? [] : [twisty(expanded, 9, room / 2)]),
    svg('text', { class: 'label', x: middle, y: first }, label),
    ...(detail === undefined
      ? []
      : [svg('text', { class: 'detail', x: middle, y: first + 14 }, detail)]),
  ];
}

/** Plus or minus, which opens and folds. */
function twisty(expanded: boolean, x: number, y: number): SVGElement {
  const cross = expanded ? 'M3,6.5 H10' : 'M3,6.5 H10 M6.5,3 V10';
  return svg(
    'g',
    { class: 'fold', transform: `translate(${x} ${y - 6.5})`, 'aria-hidden': 'true' },
    svg('rect', { x: 0, y: 0, width: 13, height: 13, rx: 2 }),
    svg('path', { d: cross }),
  );
}

/** One colour for each sublayer that the box stands for. */
function strip({ sublayers, width, height }: DiagramNode, worth: WorthScale): SVGElement[] {
  const step = (width - 12) / Math.max(1, sublayers.length);
  return sublayers.flatMap((id, i) => {
    const known = worth.of(id);
    const place = { x: 6 + i * step, y: height - stripHeight - 3, height: stripHeight };
    return known === undefined
      ? [svg('rect', { class: 'worth unknown', ...place, width: step })]
      : [
          svg('rect', {
            class: 'worth',
            ...place,
            width: step,
            fill: paletteColor(known.position),
          }),
        ];
  });
}

function worthText({ sublayers }: DiagramNode, worth: WorthScale): string | undefined {
  const known = sublayers.flatMap((id) => worth.of(id)?.distance ?? []);
  if (known.length === 0) return undefined;
  const [low, high] = [Math.min(...known), Math.max(...known)].map(formatDistance);
  return strings.worthOf(low === high ? (low ?? '') : `${low ?? ''} – ${high ?? ''}`);
}

/** A line through the points, its corners rounded. */
function pathOf(points: Diagram['edges'][number]['points']): string {
  const [first, ...others] = points;
  if (first === undefined) return '';
  const last = others.at(-1) ?? first;
  if (others.length === 1 && first.x !== last.x) {
    const middle = (first.y + last.y) / 2;
    return `M${first.x},${first.y} C${first.x},${middle} ${last.x},${middle} ${last.x},${last.y}`;
  }
  const corners = others.slice(0, -1).map(({ x, y }, i) => {
    const next = others[i + 1] ?? last;
    return `Q${x},${y} ${(x + next.x) / 2},${(y + next.y) / 2}`;
  });
  return `M${first.x},${first.y} ${corners.join(' ')} L${last.x},${last.y}`;
}

/** What the colours mean. */
export function worthLegend(worth: WorthScale): HTMLElement {
  const stops = Array.from({ length: 11 }, (_, i) => paletteColor(i / 10));
  const gradient = h('span', { class: 'worth-gradient', 'aria-hidden': 'true' });
  gradient.style.backgroundImage = `linear-gradient(to right, ${stops.join(', ')})`;
  return h(
    'p',
    { class: 'worth-legend muted' },
    h('span', {}, strings.worthLegend(worth.metric)),
    h('span', {}, `${strings.cheap} ${formatDistance(worth.min)}`),
    gradient,
    h('span', {}, `${formatDistance(worth.max)} ${strings.vital}`),
    worth.stale ? h('span', { class: 'stale' }, strings.worthStale) : undefined,
  );
}
