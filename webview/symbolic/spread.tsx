import type { VNode } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import type { Level, ScatterContent, ScatterPoint, ScatterSeries } from '../charts/scatter-chart';
import { ScatterPlot } from '../components/charts';
import { Legend } from '../components/legend';
import { Folded, Section } from '../components/section';
import { ScrollingTable } from '../components/table';
import { formatCount, formatPercent, formatShare } from '../format';
import { accuracyRange, mean, modelAt, spreadPoints } from './population';
import type { SpreadPoint } from './population';
import { strings } from './strings';
import type { Evolution, Iteration, Place } from './types';

interface SpreadProps {
  readonly evolution: Evolution;
  readonly selected: Place | undefined;
  readonly onPick: (place: Place) => void;
}

interface NamedLevel extends Level {
  readonly name: string;
}

/** Accuracy of the networks of each iteration, compared with baselines without a graph. */
export function Spread({ evolution, selected, onPick }: SpreadProps): VNode {
  const [visited, setVisited] = useState('');
  const { points, levels, content, label } = useMemo(() => buildChart(evolution), [evolution]);
  const findPlace = ({ index }: ScatterPoint) => points.find((one) => one.index === index)?.place;
  const ringed = points.find(
    ({ place }) => place.iteration === selected?.iteration && place.model === selected.model,
  );
  return (
    <Section id="spread-title" title={strings.spread}>
      <Legend
        items={[
          { name: strings.graphs, color: 'blue', mark: 'circle' },
          { name: strings.keptGraphs, color: 'green', mark: 'triangle' },
          ...levels.map(({ name, color, dash }) => ({ name, color, mark: { dash } })),
        ]}
      />
      <ScatterPlot
        content={content}
        ring={ringed?.index}
        label={label}
        describedBy="spread-hint"
        actions={{
          visit: (point) => {
            const place = findPlace(point);
            const model = place && modelAt(evolution, place);
            if (place === undefined || model === undefined) return;
            setVisited(strings.visited(place.iteration + 1, model.name, formatPercent(point.y)));
          },
          pick: (point) => {
            const place = findPlace(point);
            if (place !== undefined) onPick(place);
          },
        }}
      />
      <p class="muted visited" role="status">
        {visited}
      </p>
      <p class="muted" id="spread-hint">
        {strings.spreadHint}
      </p>
      <Folded title={strings.spreadTable}>
        <ScrollingTable
          caption={strings.spreadTable}
          columns={columns}
          rows={evolution.iterations.map(rowNumbers)}
        />
      </Folded>
    </Section>
  );
}

interface SpreadChart {
  readonly points: readonly SpreadPoint[];
  readonly levels: readonly NamedLevel[];
  readonly content: ScatterContent;
  readonly label: string;
}

function buildChart(evolution: Evolution): SpreadChart {
  const points = spreadPoints(evolution);
  const levels = buildLevels(evolution);
  const { iterations, settings } = evolution;
  const isKept = ({ place }: SpreadPoint) => modelAt(evolution, place)?.kept === true;
  const spreads = iterations.flatMap(({ spread }, i) =>
    spread === undefined ? [] : [{ iteration: i + 1, ...spread }],
  );
  const parts = spreads.map(({ iteration, mean, least, most }) =>
    strings.spreadPart(iteration, formatPercent(mean), formatPercent(least), formatPercent(most)),
  );
  const series: ScatterSeries[] = [
    {
      ...{ label: strings.graphs, color: 'blue', marker: 'circle' },
      points: points.filter((point) => !isKept(point)),
    },
    {
      ...{ label: strings.keptGraphs, color: 'green', marker: 'triangle' },
      points: points.filter(isKept),
    },
  ];
  const content: ScatterContent = {
    series,
    titles: { x: strings.iteration, y: strings.accuracy },
    format: formatShare,
    formatX: (value) => String(Math.round(value)),
    // The ends lie between iterations, so that chart.js numbers these rather than the ends.
    rangeX: { min: 0.4, max: settings.iterations + 0.6, step: 1 },
    rangeY: accuracyRange([...points.map(({ y }) => y), ...levels.map(({ y }) => y)]),
    levels,
    whiskers: spreads.map(({ iteration, mean, deviation }) => ({
      ...{ x: iteration, mean, deviation: deviation ?? 0 },
    })),
    pointTitle: ({ index }) => {
      const place = points.find((point) => point.index === index)?.place;
      return (place && modelAt(evolution, place)?.name) ?? '';
    },
  };
  const label = strings.spreadLabel([...parts, ...levels.map(({ name }) => `${name}.`)].join(' '));
  return { points, levels, content, label };
}

function buildLevels({ lines, baselines }: Evolution): NamedLevel[] {
  const levels: NamedLevel[] = [];
  if (baselines.length > 0) {
    const y = mean(baselines.map(({ test }) => test));
    const name = strings.baselineLine(formatShare(y), baselines.length);
    levels.push({ y, color: 'purple', dash: [], name });
  }
  if (lines !== undefined) {
    const { majority, shortcut } = lines.test;
    levels.push(
      {
        ...{ y: majority, color: 'yellow', dash: [8, 4] },
        name: strings.majorityLine(formatShare(majority)),
      },
      {
        ...{ y: shortcut, color: 'red', dash: [2, 3] },
        name: strings.shortcutLine(formatShare(shortcut)),
      },
    );
  }
  return levels;
}

const columns = [
  { title: strings.iteration },
  ...[
    ...[strings.programs, strings.graphs, strings.found, strings.replaced],
    ...[strings.mean, strings.deviation, strings.range, strings.correlation],
  ].map((title) => ({ title, isNumber: true })),
];

function rowNumbers(
  { exploration, spread, correlation, models }: Iteration,
  i: number,
): readonly (string | number)[] {
  const percent = (share: number | null | undefined) =>
    share === null || share === undefined ? strings.none : formatPercent(share);
  return [
    i + 1,
    exploration === undefined ? strings.running : formatCount(exploration.enumerated),
    formatCount(models.length),
    exploration === undefined ? strings.none : formatCount(exploration.added),
    exploration === undefined ? strings.none : formatCount(exploration.replaced),
    percent(spread?.mean),
    percent(spread?.deviation),
    spread === undefined
      ? strings.none
      : `${formatPercent(spread.least)} – ${formatPercent(spread.most)}`,
    correlation?.toFixed(2) ?? strings.none,
  ];
}
