import type { ComponentChildren, VNode } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { histogramSummary } from '../charts/histogram';
import type { ChartRegion, ScatterContent } from '../charts/scatter-chart';
import { ScatterPlot } from '../components/charts';
import { Histogram } from '../components/histogram';
import { Legend } from '../components/legend';
import { Folded, Section } from '../components/section';
import { ScrollingTable } from '../components/table';
import { formatCount, formatDistance, formatPercent } from '../format';
import { groupsOf } from './groups';
import type { MapGroup } from './groups';
import { listed, named } from '../translate';
import { strings } from './strings';
import type { Overview } from './types';

/** How often each part of the range of scores occurs. */
export function ScoreHistogram({
  overview: { histogram, score },
}: {
  readonly overview: Overview;
}): VNode {
  const isKnown = histogram.counts.length > 0;
  const notes = [
    ...(isKnown ? [] : [strings.noFinite]),
    ...(histogram.infinite === 0
      ? []
      : [strings.infinite(histogram.infinite, formatCount(histogram.infinite))]),
  ];
  return (
    <Section id="histogram-title" title={strings.histogram}>
      {isKnown && (
        <Histogram
          histogram={histogram}
          label={strings.histogramLabel(strings.scoreName(score), histogramSummary(histogram))}
          counted={strings.examples}
          height={240}
        />
      )}
      {notes.length > 0 && <p class="muted">{notes.join(' ')}</p>}
    </Section>
  );
}

export interface MapProps {
  readonly overview: Overview;
  /** Stand at the right of the title. */
  readonly controls: ComponentChildren;
  /** Shows an example. */
  readonly onPick: (index: number) => void;
  /** Shows the examples in a part of the map. */
  readonly onSelect: (region: ChartRegion) => void;
}

/** Dataset cartography: mean probability of the label against its deviation. */
export function Cartography({ overview, controls, onPick, onSelect }: MapProps): VNode {
  const { points, mapped, scoring } = overview;
  const groups = useMemo(() => groupsOf(points), [points]);
  const content = useMemo(() => contentOf(groups), [groups]);
  /** The name of the group of each example. */
  const groupNames = useMemo(
    () =>
      new Map(
        groups.flatMap(({ name, points: members }) =>
          members.map(({ index }) => [index, name] as const),
        ),
      ),
    [groups],
  );
  const [ring, setRing] = useState<number>();
  const [visited, setVisited] = useState('');
  useEffect(() => {
    setRing(undefined);
    setVisited('');
  }, [points]);
  const note = (
    <p class="muted" id="map-hint">
      {noteOf(points.length, mapped, scoring)}
      {overview.embedding === undefined && ` ${strings.embeddingNone}`}
    </p>
  );
  if (points.length === 0) {
    return (
      <Section id="map-title" title={strings.map} controls={controls}>
        {note}
      </Section>
    );
  }
  const parts = groups.map(({ name, points: members }) => named(name, formatCount(members.length)));
  return (
    <Section id="map-title" title={strings.map} controls={controls}>
      <Legend items={groups.map(({ name, color, marker }) => ({ name, color, mark: marker }))} />
      <ScatterPlot
        id={mapId}
        content={content}
        ring={ring}
        label={strings.mapSummary(listed(parts))}
        describedBy="map-hint"
        actions={{
          visit: ({ index, x, y }) => {
            setRing(index);
            const [point, group] = [strings.point(formatCount(index)), groupNames.get(index) ?? ''];
            setVisited(strings.visited(point, group, formatDistance(y), formatDistance(x)));
          },
          pick: ({ index }) => {
            setRing(index);
            setVisited('');
            onPick(index);
          },
          select: onSelect,
        }}
      />
      <p class="visited" role="status">
        {visited}
      </p>
      {note}
      <GroupTable groups={groups} total={points.length} />
    </Section>
  );
}

export const mapId = 'map';

/** Puts the keyboard where it was on the map. */
export function focusMap(): void {
  document.getElementById(mapId)?.focus();
}

function contentOf(groups: readonly MapGroup[]): ScatterContent {
  return {
    series: groups.map(({ name, points, color, marker }) => ({
      ...{ label: name, color, marker },
      points: points.map(({ index, confidence, variability }) => ({
        ...{ index, x: variability, y: confidence },
      })),
    })),
    titles: { x: strings.variability, y: strings.confidence },
    format: formatDistance,
    pointTitle: ({ index }) => strings.point(formatCount(index)),
  };
}

function noteOf(drawn: number, mapped: number, scoring: Overview['scoring']): string {
  if (drawn === 0) return strings.mapNone;
  const looks = scoring === undefined ? Infinity : scoring.runs * Math.max(1, scoring.epoch);
  return [
    ...(looks < 5 ? [strings.mapOneEpoch] : []),
    ...(drawn < mapped ? [strings.mapSampled(formatCount(drawn), formatCount(mapped))] : []),
    strings.mapHint,
  ].join(' ');
}

const groupColumns = [
  { title: strings.group },
  ...[strings.examples, strings.share, strings.meanConfidence, strings.meanVariability].map(
    (title) => ({ title, isNumber: true }),
  ),
];

interface GroupTableProps {
  readonly groups: readonly MapGroup[];
  readonly total: number;
}

function GroupTable({ groups, total }: GroupTableProps): VNode {
  const mean = (values: readonly number[]) =>
    values.length === 0
      ? strings.none
      : formatDistance(values.reduce((sum, value) => sum + value, 0) / values.length);
  return (
    <Folded title={strings.mapTable}>
      <ScrollingTable
        caption={strings.mapTable}
        columns={groupColumns}
        rows={groups.map(({ name, points }) => [
          name,
          formatCount(points.length),
          formatPercent(points.length / Math.max(1, total)),
          mean(points.map(({ confidence }) => confidence)),
          mean(points.map(({ variability }) => variability)),
        ])}
      />
    </Folded>
  );
}
