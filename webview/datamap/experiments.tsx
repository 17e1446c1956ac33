import type { VNode } from 'preact';
import { useMemo } from 'preact/hooks';
import type { ChartContent, ChartPoint } from '../charts/curve-chart';
import { seriesColors } from '../charts/theme-colors';
import { CurvePlot } from '../components/charts';
import { Button } from '../components/controls';
import { Legend } from '../components/legend';
import type { Marker } from '../components/legend';
import { Actions, Folded, Section } from '../components/section';
import { ScrollingTable } from '../components/table';
import { formatCount, formatPercent, formatShare } from '../format';
import { listed, named } from '../translate';
import { groupSeries } from './map/groups';
import type { ExperimentSeries } from './map/groups';
import { strings } from './strings';
import type { DataMap, DataMapPanel, Experiment } from './types';

interface ExperimentsProps {
  readonly panel: DataMapPanel;
  readonly map: DataMap;
}

/** Results of training on subsets of the dataset, if measured. */
export function Experiments({ panel, map }: ExperimentsProps): VNode {
  const { experiments } = map;
  return (
    <Section id="experiment-title" title={strings.experiment}>
      {experiments.length === 0 && <p class="muted">{strings.experimentNone}</p>}
      {experiments.map((experiment) => (
        <ExperimentChart key={experiment.file} experiment={experiment} />
      ))}
      {panel.get('data')?.path !== undefined && (
        <Actions label={strings.experiment}>
          <Button
            label={strings.compare}
            title={strings.compareTitle}
            reason={panel.get('blocked')}
            onClick={panel.run.compareSubsets}
          />
        </Actions>
      )}
    </Section>
  );
}

const dashes = [[], [8, 4], [2, 3], [9, 3, 2, 3], [1, 2]] as const;
const markers = [
  'circle',
  'rect',
  'triangle',
  'rectRot',
  'crossRot',
] as const satisfies readonly Marker[];

const columns = [
  { title: strings.trainedOn },
  ...[strings.keptShare, strings.examples, strings.accuracy].map((title) => ({
    ...{ title, isNumber: true },
  })),
];

function ExperimentChart({ experiment }: { readonly experiment: Experiment }): VNode {
  const { file, request } = experiment;
  const all = useMemo(() => groupSeries(experiment), [experiment]);
  const content = useMemo(() => buildContent(all), [all]);
  return (
    <>
      <p class="muted">{strings.experimentIso(request.iso, request.seeds, file)}</p>
      <Legend
        items={content.series.map(({ label, color }, i) => ({
          ...{ name: label, color, mark: seriesMarker(i) },
        }))}
      />
      <CurvePlot
        content={content}
        label={strings.experimentSummary(file, listed(content.series.map(({ label }) => label)))}
      />
      <Folded title={strings.experimentTable}>
        <ScrollingTable
          caption={strings.experimentTable}
          columns={columns}
          rows={all.flatMap(({ name, rows }) => rows.map((row) => rowCells(name, row)))}
        />
      </Folded>
    </>
  );
}

const seriesMarker = (i: number): Marker => markers[i % markers.length] ?? 'circle';

function buildContent(all: readonly ExperimentSeries[]): ChartContent {
  const rows = all.flatMap((one) => one.rows);
  return {
    series: all.map((one, i) => ({
      label: strings.seriesName(one.name),
      points: seriesPoints(one, rows),
      color: seriesColors[i % seriesColors.length] ?? 'blue',
      dash: dashes[i % dashes.length] ?? [],
      marker: seriesMarker(i),
      axis: 'y',
      emphasised: one.name !== 'random' && one.name !== 'full',
    })),
    titles: { x: strings.kept, y: strings.accuracy, y2: '' },
    logarithmic: false,
    selection: undefined,
    stepX: undefined,
    formatX: formatShare,
    formatY: formatShare,
    sharesY: true,
    pointTitle: ({ x }) => named(strings.kept, formatShare(x)),
  };
}

/** Training on all examples has a single result, drawn as a horizontal line. */
function seriesPoints({ name, rows }: ExperimentSeries, all: Experiment['rows']): ChartPoint[] {
  const points = rows.map(({ keep, mean, deviation }) => ({
    ...{ x: keep, y: mean, index: 0 },
    ...(deviation === undefined ? {} : { spread: deviation }),
  }));
  const [whole] = points;
  if (name !== 'full' || whole === undefined) return points;
  const shares = new Set(all.map(({ keep }) => keep).filter((keep) => keep < whole.x));
  const { y } = whole;
  return [...[0, ...shares].sort((a, b) => a - b).map((x) => ({ x, y, index: 0 })), whole];
}

function rowCells(name: string, row: Experiment['rows'][number]): string[] {
  const { keep, examples, mean, deviation, offset } = row;
  return [
    offset === undefined
      ? strings.seriesName(name)
      : `${name} ${strings.behind(formatShare(offset))}`,
    formatShare(keep),
    formatCount(examples),
    deviation === undefined
      ? formatPercent(mean)
      : `${formatPercent(mean)} ${strings.deviation(formatPercent(deviation))}`,
  ];
}
