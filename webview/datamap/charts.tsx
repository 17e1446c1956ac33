import type { VNode } from 'preact';
import { useMemo } from 'preact/hooks';
import { histogramSummary } from '../charts/histogram';
import type { ScatterContent } from '../charts/scatter-chart';
import { Histogram } from '../components/histogram';
import { Section } from '../components/section';
import { formatCount, formatDistance } from '../format';
import { GroupedMap } from './map/grouped-map';
import type { MapProps } from './map/grouped-map';
import { groupByCorrectness } from './map/groups';
import type { MapGroup } from './map/groups';
import { strings } from './strings';
import type { Overview } from './types';
import { joinSentences } from '../translate';

/** Distribution of the scores. */
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
          measured={strings.scoreName(score)}
          height={240}
        />
      )}
      {notes.length > 0 && <p class="muted">{joinSentences(notes)}</p>}
    </Section>
  );
}

/** Dataset cartography: mean probability of the label against its deviation. */
export function Cartography({ overview, controls, onPick, onSelect }: MapProps): VNode {
  const { points, mapped, scoring } = overview;
  const groups = useMemo(() => groupByCorrectness(points), [points]);
  const content = useMemo(() => buildContent(groups), [groups]);
  const note = (
    <p class="muted" id="map-hint">
      {mapNote(points.length, mapped, scoring)}
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
  return (
    <Section id="map-title" title={strings.map} controls={controls}>
      <GroupedMap
        {...{ groups, points, content, note, onPick, onSelect }}
        summary={strings.mapSummary}
        said={({ index, x, y }, group) =>
          strings.visited(
            strings.point(formatCount(index)),
            group,
            formatDistance(y),
            formatDistance(x),
          )
        }
        table={{
          title: strings.mapTable,
          group: strings.group,
          means: [
            { title: strings.meanConfidence, of: ({ confidence }) => confidence },
            { title: strings.meanVariability, of: ({ variability }) => variability },
          ],
        }}
      />
    </Section>
  );
}

function buildContent(groups: readonly MapGroup[]): ScatterContent {
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

function mapNote(drawn: number, mapped: number, scoring: Overview['scoring']): string {
  if (drawn === 0) return strings.mapNone;
  const looks = scoring === undefined ? Infinity : scoring.runs * Math.max(1, scoring.epoch);
  return joinSentences([
    ...(looks < 5 ? [strings.mapOneEpoch] : []),
    ...(drawn < mapped ? [strings.mapSampled(formatCount(drawn), formatCount(mapped))] : []),
    strings.mapHint,
  ]);
}
