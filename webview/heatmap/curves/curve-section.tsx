import type { VNode } from 'preact';
import { useMemo } from 'preact/hooks';
import { byteStep } from '../../charts/byte-step';
import type { ChartContent, ChartSeries } from '../../charts/curve-chart';
import { CurvePlot } from '../../components/charts';
import { Checkbox, Dropdown } from '../../components/controls';
import { SeriesSwitches } from '../../components/legend';
import { Section } from '../../components/section';
import { formatBytes, formatCompact, formatCount, formatDistance } from '../../format';
import { curveSummary } from './curve-summary';
import { CurveTable } from './curve-table';
import { axes, buildCurves } from './curves';
import type { Axis, Curves } from './curves';
import type { Frame } from '../frame';
import { expandSublayers, sumSelection } from '../selection';
import { strings } from '../strings';
import type { HeatmapPanel } from '../heatmap-panel';
import type { BaselineName, ShownProfile } from '../types';
import { named } from '../../translate';

interface CurveProps {
  readonly panel: HeatmapPanel;
  readonly frame: Frame;
}

/** Distance and perplexity against the removed amount, with the baselines next to the greedy search. */
export function CurveSection({ panel, frame }: CurveProps): VNode {
  const { axis, logarithmic } = panel.view.value;
  const { profile } = frame.selected;
  return (
    <Section
      class="curve"
      id="curve-title"
      title={strings.curve}
      controls={
        <>
          <Dropdown
            label={strings.axis}
            options={axes.map((value) => ({ value, label: strings.axisName[value] }))}
            value={axis}
            onChange={(next) => {
              panel.setView({ axis: next });
            }}
          />
          <Checkbox
            label={strings.logarithmic}
            checked={logarithmic}
            onChange={(checked) => {
              panel.setView({ logarithmic: checked });
            }}
          />
        </>
      }
    >
      {profile === undefined || profile.rounds.length === 0 ? (
        <p class="muted">{strings.curveWaiting}</p>
      ) : (
        <Chart panel={panel} profile={profile} frame={frame} />
      )}
    </Section>
  );
}

interface ChartProps extends CurveProps {
  readonly profile: ShownProfile;
}

function Chart({ panel, profile, frame }: ChartProps): VNode {
  const { axis, logarithmic, hiddenSeries } = panel.view.value;
  const { selected, selectRounds } = frame;
  const { model, removed, selectedRounds } = selected;
  const curves = useMemo(() => buildCurves(profile, model, axis), [profile, model, axis]);
  const series = useMemo(() => buildSeries(curves), [curves]);
  const content = useMemo(
    (): ChartContent => ({
      series: series.filter(({ key }) => !hiddenSeries.includes(key)),
      titles: {
        x: strings.axisName[axis],
        y: `${strings.distance} (${profile.settings.metric})`,
        y2: strings.perplexity,
      },
      logarithmic,
      selection: selectionPoint(frame, axis, curves),
      stepX: axis === 'bytes' ? byteStep(mostRemoved(curves)) : undefined,
      countsX: axis === 'sublayers',
      formatX: axisFormats[axis],
      formatY: formatDistance,
      pointTitle: ({ index, x }) =>
        `${strings.tooltipRound(index)} · ${named(strings.axisName[axis], axisFormats[axis](x))}`,
    }),
    [series, hiddenSeries, axis, logarithmic, profile, model, removed, selectedRounds],
  );
  return (
    <>
      <SeriesSwitches
        label={strings.series}
        items={series.map(({ key, label, color, dash, pointsOnly }) => ({
          ...{ key, name: label, color, mark: pointsOnly === true ? 'crossRot' : { dash } },
        }))}
        hidden={hiddenSeries}
        onChange={(hidden) => {
          panel.setView({ hiddenSeries: hidden });
        }}
      />
      <CurvePlot
        content={content}
        label={curveSummary(selected, curves, axisFormats[axis])}
        onPick={selectRounds}
      />
      <CurveTable profile={profile} model={model} axis={axis} formatX={axisFormats[axis]} />
    </>
  );
}

/** Amounts on the horizontal axis as text. */
const axisFormats: Readonly<Record<Axis, (value: number) => string>> = {
  sublayers: formatCount,
  parameters: formatCompact,
  bytes: formatBytes,
};

type SeriesName = 'greedy' | BaselineName | 'perplexity';
type Series = ChartSeries & { readonly key: SeriesName };
type Look = Pick<ChartSeries, 'color' | 'dash' | 'marker' | 'axis' | 'emphasised' | 'pointsOnly'>;

/** Series differ in dash and marker as well as in color. */
const looks: Readonly<Record<SeriesName, Look>> = {
  greedy: { color: 'blue', dash: [], marker: 'circle', axis: 'y', emphasised: true },
  'one-shot': { color: 'yellow', dash: [8, 4], marker: 'rect', axis: 'y', emphasised: false },
  reverse: { color: 'green', dash: [2, 3], marker: 'triangle', axis: 'y', emphasised: false },
  random: { color: 'purple', dash: [9, 3, 2, 3], marker: 'rectRot', axis: 'y', emphasised: false },
  perplexity: {
    ...{ color: 'red', dash: [], marker: 'crossRot', axis: 'y2', emphasised: false },
    // Few rounds are evaluated: a line would claim values between them.
    pointsOnly: true,
  },
};

function buildSeries({ greedy, baselines, perplexity }: Curves): Series[] {
  const all = [
    { key: 'greedy', points: greedy, label: strings.greedy },
    ...baselines.map(({ name, points }) => ({ key: name, points, label: strings.baseline(name) })),
    { key: 'perplexity', points: perplexity, label: strings.perplexitySeries },
  ] as const;
  return all
    .filter(({ key, points }) => points.length > 0 || key === 'greedy')
    .map((one) => ({
      ...one,
      ...looks[one.key],
      points: one.points.map(({ rounds, x, y }) => ({ index: rounds, x, y })),
    }));
}

function mostRemoved({ greedy, baselines }: Curves): number {
  const points = [...greedy, ...baselines.flatMap((baseline) => baseline.points)];
  return Math.max(...points.map((point) => point.x));
}

function selectionPoint(
  { selected: { removed, widthPruned, model, selectedRounds } }: Frame,
  axis: Axis,
  { greedy }: Curves,
): ChartContent['selection'] {
  const point = greedy.find(({ rounds }) => rounds === selectedRounds);
  if (point !== undefined) return { x: point.x, y: point.y };
  const { [axis]: x } = sumSelection(expandSublayers(removed, model), model, widthPruned);
  return { x, y: undefined };
}
