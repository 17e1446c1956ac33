import type { VNode } from 'preact';
import { paletteColor } from '../charts/palette';
import { strings } from './strings';
import type { Diagram, DiagramNode } from './types';
import type { ColorScale } from './color-scale';
import { listed } from '../translate';

/** Height of the colors of importance, which the layout leaves room for. */
const stripHeight = 6;
const titleHeight = 26;

interface DrawingProps {
  readonly diagram: Diagram;
  readonly colors: ColorScale | undefined;
  readonly scale: number;
  /** Id of the box that is in the tab order. */
  readonly current: string | undefined;
  readonly isSelected: boolean;
}

/** A diagram as a tree of boxes (WAI-ARIA tree) over its edges. */
export function DiagramDrawing(props: DrawingProps): VNode {
  const { diagram, colors, scale, current, isSelected } = props;
  const { width, height, nodes } = diagram;
  return (
    <svg
      viewBox={`0 0 ${width} ${height}`}
      width={Math.round(width * scale)}
      height={Math.round(height * scale)}
      role="tree"
      aria-label={strings.diagramLabel}
    >
      <Ground diagram={diagram} />
      <g role="presentation">
        {nodes.map((node) => (
          <Box
            key={node.id}
            node={node}
            colors={colors}
            isCurrent={node.id === current}
            isSelected={isSelected && node.id === current}
          />
        ))}
      </g>
    </svg>
  );
}

/** Background of the boxes: frames and edges. */
function Ground({ diagram: { nodes, edges } }: { readonly diagram: Diagram }): VNode {
  const frames = nodes.filter(({ frame }) => frame);
  return (
    <>
      <defs>
        <marker
          {...{ id: 'arrow', viewBox: '0 0 8 8', refX: 7, refY: 4 }}
          {...{ markerWidth: 7, markerHeight: 7, orient: 'auto' }}
        >
          <path d="M0,0.5 L8,4 L0,7.5 Z" class="arrow-head" />
        </marker>
      </defs>
      <g role="presentation" aria-hidden="true">
        {frames.flatMap(({ id, times, x, y, width, height }) =>
          // A folded run looks like a pile.
          (times > 1 ? [8, 4] : []).map((by) => (
            <rect
              key={`${id} ${by}`}
              class="sheet"
              {...{ x: x + by, y: y + by, width, height, rx: 6 }}
            />
          )),
        )}
      </g>
      <g role="presentation" aria-hidden="true">
        {frames.map(({ id, kind, x, y, width, height }) => (
          <rect
            key={id}
            class={`frame ${kind}`}
            {...{ x, y, width, height, rx: 6 }}
            data-frame={id}
          />
        ))}
      </g>
      <g class="edges" role="presentation" aria-hidden="true">
        {edges.map(({ points, shared, arrow }, i) => (
          <path
            key={i}
            d={svgPath(points)}
            class={shared ? 'edge shared' : 'edge'}
            marker-end={arrow ? 'url(#arrow)' : undefined}
          />
        ))}
        {edges.map(
          ({ shape }, i) =>
            shape !== undefined && (
              <text key={i} class="shape" x={shape.at.x} y={shape.at.y + 4}>
                {shape.text}
              </text>
            ),
        )}
      </g>
    </>
  );
}

/** Text that marks differences, which are otherwise shown only by lines. */
const signs = { model: '+', against: '−', changed: '≠' } as const;

interface BoxProps {
  readonly node: DiagramNode;
  readonly colors: ColorScale | undefined;
  readonly isCurrent: boolean;
  readonly isSelected: boolean;
}

function Box({ node, colors, isCurrent, isSelected }: BoxProps): VNode {
  const { id, label, detail, kind, x, y, width, height, level, frame, expanded, times } = node;
  const { difference } = node;
  const differs = difference && strings.difference[difference];
  const title = times > 1 ? strings.times(label, String(times)) : label;
  const colorText = colors?.describe(node);
  const parts = [title, detail, node.name, differs, colorText].filter((text) => text !== undefined);
  return (
    <g
      class={`box ${frame ? 'open' : 'closed'} ${kind} ${difference === undefined ? '' : `in-${difference}`}`}
      role="treeitem"
      aria-level={level}
      aria-label={listed(parts)}
      aria-expanded={expanded}
      aria-selected={isSelected}
      data-id={id}
      tabindex={isCurrent ? 0 : -1}
      transform={`translate(${x} ${y})`}
    >
      <title>{parts.join('\n')}</title>
      {frame ? <FrameTitle node={node} title={title} /> : <Closed node={node} />}
      {colors !== undefined && !frame && <Strip node={node} colors={colors} />}
      {difference !== undefined && (
        <text
          class="sign"
          x={isRound(node) ? width + 5 : width - 12}
          y={isRound(node) ? height : 14}
          aria-hidden="true"
        >
          {signs[difference]}
        </text>
      )}
      <rect class="focus" {...{ x: 0, y: 0, width, height: frame ? titleHeight : height, rx: 5 }} />
    </g>
  );
}

interface NodeProps {
  readonly node: DiagramNode;
}

function FrameTitle({ node, title }: NodeProps & { readonly title: string }): VNode {
  const { detail, expanded } = node;
  return (
    <>
      {expanded !== undefined && (
        <>
          <rect class="title-ground" {...{ x: 4, y: 2, width: 21, height: titleHeight - 5 }} />
          <Fold expanded={expanded} x={8} y={titleHeight / 2} />
        </>
      )}
      <text class="title" x={expanded === undefined ? 10 : 26} y={titleHeight / 2 + 4}>
        {title}
        {detail !== undefined && (
          <tspan class="detail" dx={6}>
            {detail}
          </tspan>
        )}
      </text>
    </>
  );
}

function Closed({ node }: NodeProps): VNode {
  const { label, detail, width, height, expanded, sublayers, value } = node;
  const room = sublayers.length > 0 || value !== undefined ? height - stripHeight - 2 : height;
  const middle = expanded === undefined ? width / 2 : width / 2 + 7;
  const first = room / 2 + (detail === undefined ? 4 : -3);
  return (
    <>
      <rect
        class="shape-box"
        {...{ x: 0, y: 0, width, height }}
        rx={isPill(node) ? height / 2 : 4}
      />
      {!isPill(node) && <rect class="accent" {...{ x: 0, y: 4, width: 3, height: height - 8 }} />}
      {expanded !== undefined && <Fold expanded={expanded} x={9} y={room / 2} />}
      <text class="label" x={middle} y={first}>
        {label}
      </text>
      {detail !== undefined && (
        <text class="detail" x={middle} y={first + 14}>
          {detail}
        </text>
      )}
    </>
  );
}

/** A sum or a product: a circle, which has no room for a second sign. */
const isRound = ({ kind, width, height }: DiagramNode): boolean =>
  kind === 'combine' && width === height;

const isPill = (node: DiagramNode): boolean =>
  isRound(node) || node.kind === 'input' || node.kind === 'output';

interface FoldProps {
  readonly expanded: boolean;
  readonly x: number;
  readonly y: number;
}

/** Plus or minus, which opens and folds. */
function Fold({ expanded, x, y }: FoldProps): VNode {
  return (
    <g class="fold" transform={`translate(${x} ${y - 6.5})`} aria-hidden="true">
      <rect x={0} y={0} width={13} height={13} rx={2} />
      <path d={expanded ? 'M3,6.5 H10' : 'M3,6.5 H10 M6.5,3 V10'} />
    </g>
  );
}

/** A color for each part of the box. */
function Strip({ node, colors }: NodeProps & { readonly colors: ColorScale }): VNode {
  const { width, height } = node;
  const positions = colors.positions(node);
  const step = (width - 12) / Math.max(1, positions.length);
  return (
    <>
      {positions.map((position, i) => {
        return (
          <rect
            key={i}
            class={position === undefined ? 'importance unknown' : 'importance'}
            {...{ x: 6 + i * step, y: height - stripHeight - 3, height: stripHeight, width: step }}
            fill={position === undefined ? undefined : paletteColor(position)}
          />
        );
      })}
    </>
  );
}

/** A line through the points, with rounded corners. */
function svgPath(points: Diagram['edges'][number]['points']): string {
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

/** Legend of the colors. */
export function ColorLegend({ colors }: { readonly colors: ColorScale }): VNode {
  const { legend, low, high, note, warning } = colors;
  const stops = Array.from({ length: 11 }, (_, i) => paletteColor(i / 10));
  return (
    <p class="importance-legend muted">
      <span>{legend}</span>
      <span>{low}</span>
      <span
        class="importance-gradient"
        aria-hidden="true"
        style={{ backgroundImage: `linear-gradient(to right, ${stops.join(', ')})` }}
      />
      <span>{high}</span>
      {note !== undefined && <span>{note}</span>}
      {warning !== undefined && <span class="stale">{warning}</span>}
    </p>
  );
}
