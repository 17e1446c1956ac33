import type { VNode } from 'preact';
import { useMemo, useRef, useState } from 'preact/hooks';
import type { ChartContent, ChartSeries, PlotArea } from '../charts/curve-chart';
import { useChart } from '../components/charts';
import { CopyImage } from '../components/copy-image';
import { Legend } from '../components/legend';
import { Folded } from '../components/section';
import { ScrollingTable } from '../components/table';
import { formatDistance } from '../format';
import { joinSentences, listed, named } from '../translate';
import type { FrontierPoint } from './frontier-points';
import { moveRule, nearestStop } from './rule';
import { strings } from './strings';

type Kind = FrontierPoint['kind'];

/** Line at the size that the user wants, which moves between stops. */
export interface TargetRule {
  readonly label: string;
  /** Sizes that it can be moved to, in any order. */
  readonly stops: readonly number[];
  /** Index of its stop. */
  readonly stop: number;
  /** Size that it is drawn at. */
  readonly size: number;
  readonly text: string;
  readonly onMove: (stop: number) => void;
}

export interface FrontierProps {
  readonly points: readonly FrontierPoint[];
  /** Series besides size and loss, on an axis of their own. */
  readonly others?: readonly ChartSeries[];
  readonly titles: ChartContent['titles'];
  /** The plan that belongs to the target. */
  readonly ring?: { readonly size: number; readonly loss: number } | undefined;
  readonly rule?: TargetRule | undefined;
  /** Size of the original, at the end of the axis. */
  readonly original: number;
  readonly step: number | undefined;
  readonly format: (size: number) => string;
  readonly formatOther?: (value: number) => string;
  readonly hint?: string;
}

const looks = {
  plan: { color: 'blue', marker: 'circle', emphasised: true },
  made: { color: 'green', marker: 'circle', emphasised: false, pointsOnly: true },
  type: { color: 'yellow', marker: 'rect', emphasised: false, pointsOnly: true },
  setting: { color: 'purple', marker: 'rectRot', emphasised: false, pointsOnly: true },
  pruned: { color: 'red', marker: 'triangle', emphasised: false, pointsOnly: true },
} as const satisfies Readonly<Record<Kind, Partial<ChartSeries>>>;
const kinds = Object.keys(looks) as Kind[];

/** Distance against size: named types, pruned models and the best plans, with a rule at the target. */
export function Frontier(props: FrontierProps): VNode {
  const { points, others = [], hint, rule } = props;
  const content = useMemo(
    () => buildContent(props),
    [points, others, props.ring?.size, props.ring?.loss, rule?.size, props.original, props.titles],
  );
  const shown = kinds.filter((kind) => points.some((one) => one.kind === kind));
  const names = shown.map((kind) =>
    named(
      strings.kind(kind),
      String(points.filter((one) => one.kind === kind && one.loss > 0).length),
    ),
  );
  return (
    <div class="frontier">
      <Legend
        items={[
          ...shown.map((kind) => ({
            ...{ name: strings.kind(kind), color: looks[kind].color, mark: looks[kind].marker },
            isHollow: points.every((one) => one.kind !== kind || !one.isMeasured),
          })),
          ...others.map(({ label, color }) => ({ name: label, color, mark: 'crossRot' as const })),
        ]}
      />
      <Plot content={content} label={strings.label(listed(names))} rule={rule} />
      <p class="muted">
        {joinSentences([
          strings.hint,
          ...(rule === undefined ? [] : [strings.dragHint]),
          ...(hint === undefined ? [] : [hint]),
        ])}
      </p>
      <Folded title={strings.table} draw={() => <Numbers {...props} />} />
    </div>
  );
}

function buildContent(props: FrontierProps): ChartContent {
  const { points, others = [], titles, ring, rule, original, step, format, formatOther } = props;
  const series = kinds
    .map((kind): ChartSeries => {
      const own = points.filter((one) => one.kind === kind);
      return {
        ...{ label: strings.kind(kind), dash: [], axis: 'y', ...looks[kind] },
        points: own.map(({ size, loss, name, note, isMeasured }, index) => ({
          ...{ x: size, y: loss, index, isHollow: !isMeasured },
          ...(kind === 'type' || kind === 'setting' ? { name } : {}),
          ...(note === '' ? {} : { note }),
        })),
      };
    })
    .filter((one) => one.points.length > 0);
  return {
    series: [...series, ...others],
    titles,
    logarithmic: true,
    selection:
      rule === undefined
        ? undefined
        : {
            x: rule.size,
            y: ring?.loss,
            ...(ring === undefined ? {} : { ringX: ring.size }),
          },
    mostX: original,
    stepX: step,
    formatX: format,
    formatY: formatDistance,
    ...(formatOther === undefined ? {} : { formatY2: formatOther }),
    pointTitle: ({ x }) => format(x),
  };
}

interface PlotProps {
  readonly content: ChartContent;
  readonly label: string;
  readonly rule: TargetRule | undefined;
}

/** The chart, whose rule follows the pointer and the keyboard. */
function Plot({ content, label, rule }: PlotProps): VNode {
  const [area, setArea] = useState<PlotArea>();
  const latest = useRef(rule);
  latest.current = rule;
  const { canvas } = useChart(async (element) => {
    const { CurveChart } = await import('../charts/curve-chart');
    return new CurveChart(
      element,
      () => undefined,
      (next) => {
        setArea((before) => (JSON.stringify(before) === JSON.stringify(next) ? before : next));
      },
    );
  }, content);
  const moveTo = (clientX: number): void => {
    const left = canvas.current?.getBoundingClientRect().left;
    if (area === undefined || left === undefined || latest.current === undefined) return;
    const { stops, stop, onMove } = latest.current;
    const share = (clientX - left - area.left) / (area.right - area.left);
    const next = nearestStop(stops, area.min + share * (area.max - area.min));
    if (next !== undefined && next !== stop) onMove(next);
  };
  return (
    <div
      class={rule === undefined ? 'chart-box' : 'chart-box picks'}
      onClick={({ target, clientX }) => {
        if (target === canvas.current) moveTo(clientX);
      }}
    >
      <canvas ref={canvas} role="img" aria-label={label} />
      {rule !== undefined && area !== undefined && <Rule rule={rule} area={area} onDrag={moveTo} />}
      <CopyImage draw={() => canvas.current} label={label} />
    </div>
  );
}

interface RuleProps {
  readonly rule: TargetRule;
  readonly area: PlotArea;
  readonly onDrag: (clientX: number) => void;
}

/** Handle on the line of the target. */
function Rule({ rule, area, onDrag }: RuleProps): VNode {
  const { label, stops, stop, size, text, onMove } = rule;
  const sizes = [...stops].sort((a, b) => a - b);
  const share = (size - area.min) / (area.max - area.min);
  const left = area.left + Math.min(1, Math.max(0, share)) * (area.right - area.left);
  return (
    <div
      class="rule"
      role="slider"
      tabIndex={0}
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={stops.length - 1}
      aria-valuenow={sizes.indexOf(stops[stop] ?? 0)}
      aria-valuetext={text}
      style={{ left: `${left}px`, top: `${area.top}px`, height: `${area.bottom - area.top}px` }}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
      }}
      onPointerMove={(event) => {
        if (event.currentTarget.hasPointerCapture(event.pointerId)) onDrag(event.clientX);
      }}
      onKeyDown={(event) => {
        const next = moveRule(stops, stop, event.key);
        if (next === undefined) return;
        event.preventDefault();
        if (next !== stop) onMove(next);
      }}
    >
      <span class="grip" />
    </div>
  );
}

/** The chart's points as a table, the largest first. */
function Numbers({ points, format }: FrontierProps): VNode {
  const sorted = [...points].sort((a, b) => b.size - a.size);
  return (
    <ScrollingTable
      caption={strings.table}
      columns={[
        { title: strings.model },
        { title: strings.size, isNumber: true },
        { title: strings.distanceColumn, isNumber: true },
        { title: strings.source },
      ]}
      rows={sorted.map(({ kind, name, size, loss, isMeasured, note }) => [
        kind === 'type' || kind === 'setting' ? name : named(strings.kind(kind), name),
        format(size),
        formatDistance(loss),
        listed([isMeasured ? strings.measured : strings.predicted, ...(note === '' ? [] : [note])]),
      ])}
    />
  );
}
