import type { ComponentChildren, VNode } from 'preact';
import type { LogScale } from '../charts/log-scale';
import { scaleTicks } from '../charts/log-scale';
import { bands, paletteStops } from '../charts/palette';
import type { SeriesColor } from '../charts/theme-colors';
import { formatDistanceShort } from '../format';

export type Marker = 'circle' | 'rect' | 'triangle' | 'rectRot' | 'crossRot';

/** Meaning of a chart's points or lines. */
export interface LegendItem {
  readonly name: string;
  readonly color: SeriesColor;
  readonly mark: Marker | { readonly dash: readonly number[] };
  /** True if the points are drawn hollow. */
  readonly isHollow?: boolean;
}

export function Legend({ items }: { readonly items: readonly LegendItem[] }): VNode {
  return (
    <ul class="legend">
      {items.map((item) => (
        <li key={item.name}>
          <Sample {...item} />
          {item.name}
        </li>
      ))}
    </ul>
  );
}

const shapes: Readonly<Record<Marker, string>> = {
  circle: 'M1,6 a5,5 0 1,0 10,0 a5,5 0 1,0 -10,0 Z',
  rect: 'M1.5,1.5 H10.5 V10.5 H1.5 Z',
  triangle: 'M6,1.5 L11,10.5 H1 Z',
  rectRot: 'M6,0.5 L11.5,6 L6,11.5 L0.5,6 Z',
  crossRot: 'M1.5,1.5 L10.5,10.5 M10.5,1.5 L1.5,10.5',
};

function Sample({ color, mark, isHollow = false }: LegendItem): VNode {
  return typeof mark === 'string' ? (
    <svg class={`marker ${color}`} viewBox="0 0 12 12" aria-hidden="true">
      <path d={shapes[mark]} stroke-width={1.5} data-hollow={isHollow ? '' : undefined} />
    </svg>
  ) : (
    <svg class={`line ${color}`} viewBox="0 0 28 8" aria-hidden="true">
      <path d="M0,4 H28" stroke-width={2} stroke-dasharray={mark.dash.join(' ')} />
    </svg>
  );
}

interface SeriesSwitchesProps<Key extends string> {
  readonly label: string;
  readonly items: readonly (LegendItem & { readonly key: Key })[];
  readonly hidden: readonly string[];
  readonly onChange: (hidden: readonly string[]) => void;
}

/** A chart's legend as buttons that show and hide its series; a canvas has no keyboard. */
export function SeriesSwitches<Key extends string>(props: SeriesSwitchesProps<Key>): VNode {
  const { label, items, hidden, onChange } = props;
  return (
    <div class="series" role="group" aria-label={label}>
      {items.map((item) => {
        const { key, name } = item;
        const isHidden = hidden.includes(key);
        return (
          <button
            key={key}
            type="button"
            aria-pressed={!isHidden}
            onClick={() => {
              onChange(isHidden ? hidden.filter((one) => one !== key) : [...hidden, key]);
            }}
          >
            <Sample {...item} />
            <span>{name}</span>
          </button>
        );
      })}
    </div>
  );
}

interface GridLegendProps {
  readonly title: string;
  /** Undefined if nothing is colored yet. */
  readonly scale: LogScale | undefined;
  /** Labels of the ends of the scale. */
  readonly low: string;
  readonly high: string;
  /** Format of the scale's numbers; that of distances if undefined. */
  readonly format?: ((value: number) => string) | undefined;
  /** Definition of the numbers. */
  readonly definition: string | undefined;
  /** Legend of the cells' marks. */
  readonly children?: ComponentChildren;
}

/** Legend of a grid: colors and marks of its cells. */
export function GridLegend(props: GridLegendProps): VNode {
  const { title, scale, low, high, format, definition, children } = props;
  return (
    <div class="grid-legend">
      <div class="legend-scale">
        <p class="legend-title">{title}</p>
        {scale !== undefined && <Scale {...{ scale, low, high, format }} />}
        <p class="muted definition">{definition}</p>
      </div>
      <ul class="keys">{children}</ul>
    </div>
  );
}

interface ScaleProps extends Pick<GridLegendProps, 'low' | 'high' | 'format'> {
  readonly scale: LogScale;
}

/** The colors of a scale with their numbers. */
function Scale({ scale, low, high, format = formatDistanceShort }: ScaleProps): VNode {
  return (
    <div class="scale">
      <div
        class="gradient"
        style={{ backgroundImage: `linear-gradient(to right, ${paletteStops().join(', ')})` }}
      >
        {Array.from({ length: bands }, (_, band) => (
          <span key={band} data-band={band} />
        ))}
      </div>
      <div class="ticks">
        {scaleTicks(scale).map((value) => {
          const position = scale.position(value);
          return (
            <span
              key={value}
              data-end={position === 0 ? 'first' : position === 1 ? 'last' : 'inner'}
              style={{ left: `${position * 100}%` }}
            >
              {format(value)}
            </span>
          );
        })}
      </div>
      <div class="ends muted">
        <span>{low}</span>
        <span>{high}</span>
      </div>
    </div>
  );
}

interface LegendKeyProps {
  readonly text: string;
  readonly status: string;
  readonly mark?: string;
  /** Shows a folded corner. */
  readonly hasDrawback?: boolean;
  /** Shows a striped band. */
  readonly dependsOnText?: boolean;
  /** Shows a bar of this length. */
  readonly keptWidth?: string;
  /** Content of the cell's corner. */
  readonly fill?: ComponentChildren;
  readonly children?: ComponentChildren;
}

/** A sample cell with its meaning. */
export function LegendKey(props: LegendKeyProps): VNode {
  const {
    text,
    status,
    mark = 'keep',
    hasDrawback = false,
    dependsOnText = false,
    keptWidth,
    fill,
    children,
  } = props;
  return (
    <li>
      <span
        class="cell sample"
        aria-hidden="true"
        data-status={status}
        data-mark={mark}
        data-drawback={hasDrawback ? '' : undefined}
        data-depends={dependsOnText ? '' : undefined}
        data-width-pruned={keptWidth === undefined ? undefined : ''}
      >
        <span class="fill" style={keptWidth === undefined ? undefined : { '--kept': keptWidth }}>
          {fill}
        </span>
        {children !== undefined && <span class="badge">{children}</span>}
      </span>
      <span>{text}</span>
    </li>
  );
}
