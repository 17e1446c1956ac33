import type { VNode } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import type { AxisRange, ScatterContent } from '../charts/scatter-chart';
import { ScatterPlot } from '../components/charts';
import { Dropdown } from '../components/controls';
import { Legend } from '../components/legend';
import { Folded, Section } from '../components/section';
import { ScrollingTable } from '../components/table';
import { formatCount, formatDistance, formatPercent } from '../format';
import { listed, named } from '../translate';
import { mapId } from './charts';
import type { MapProps } from './charts';
import { placeGroups } from './place-groups';
import type { PlaceGroup } from './place-groups';
import { strings } from './strings';
import type { Overview, PlacedPoint } from './types';
import type { View } from './view-state';

type Embedding = NonNullable<Overview['embedding']>;

interface EmbeddingMapProps extends MapProps {
  readonly embedding: Embedding;
  readonly color: View['map']['color'];
  readonly onColor: (color: View['map']['color']) => void;
}

/** Where examples lie by the features of a proxy model. */
export function EmbeddingMap(props: EmbeddingMapProps): VNode {
  const { overview, embedding, color, controls, onColor, onPick, onSelect } = props;
  const { points, layer, layout } = embedding;
  const groups = useMemo(
    () => placeGroups(overview, points, color).filter((group) => group.points.length > 0),
    [overview, points, color],
  );
  const content = useMemo(() => contentOf(groups, embedding), [groups]);
  const nameOf = useMemo(() => namesOf(groups), [groups]);
  const [ring, setRing] = useState<number>();
  const [visited, setVisited] = useState('');
  useEffect(() => {
    setRing(undefined);
    setVisited('');
  }, [points]);
  const parts = groups.map(({ name, points: members }) => named(name, formatCount(members.length)));
  return (
    <Section
      id="map-title"
      title={strings.embedding}
      controls={
        <>
          <Dropdown
            label={strings.colorBy}
            options={colors.map((value) => ({ value, label: strings.colorName[value] }))}
            value={color}
            onChange={onColor}
          />
          {controls}
        </>
      }
    >
      <Legend
        items={groups.map(({ name, color: shade, marker }) => ({
          name,
          color: shade,
          mark: marker,
        }))}
      />
      <ScatterPlot
        id={mapId}
        content={content}
        ring={ring}
        label={strings.embeddingSummary(listed(parts))}
        describedBy="map-hint"
        actions={{
          visit: ({ index }) => {
            setRing(index);
            setVisited(named(strings.point(formatCount(index)), nameOf.get(index) ?? ''));
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
      <p class="muted" id="map-hint">
        {[
          strings.embeddingNote(layer, strings.layoutName[layout]),
          ...(points.length < overview.examples
            ? [strings.mapSampled(formatCount(points.length), formatCount(overview.examples))]
            : []),
          strings.mapHint,
        ].join(' ')}
      </p>
      <GroupTable groups={groups} total={points.length} />
    </Section>
  );
}

const colors = ['label', 'score', 'issue'] as const;

const namesOf = (groups: readonly PlaceGroup[]): ReadonlyMap<number, string> =>
  new Map(groups.flatMap(({ name, points }) => points.map(({ index }) => [index, name] as const)));

function contentOf(groups: readonly PlaceGroup[], { points, layout }: Embedding): ScatterContent {
  const titleOf = (number: string) => strings.axis(strings.layoutName[layout], number);
  return {
    series: groups.map(({ name, points: members, color, marker }) => ({
      ...{ label: name, color, marker },
      points: members.map(({ index, x, y }) => ({ index, x, y })),
    })),
    titles: { x: titleOf('1'), y: titleOf('2') },
    format: formatDistance,
    rangeX: rangeOf(points, ({ x }) => x),
    rangeY: rangeOf(points, ({ y }) => y),
    pointTitle: ({ index }) => strings.point(formatCount(index)),
  };
}

/** All points with a little room around them, between round numbers. */
function rangeOf(
  points: readonly PlacedPoint[],
  valueOf: (point: PlacedPoint) => number,
): AxisRange {
  let [min, max] = [Infinity, -Infinity];
  for (const point of points) {
    min = Math.min(min, valueOf(point));
    max = Math.max(max, valueOf(point));
  }
  const room = max > min ? 0.02 * (max - min) : 1;
  const unit = 10 ** Math.floor(Math.log10(max - min + 2 * room)) / 2;
  return {
    min: unit * Math.floor((min - room) / unit),
    max: unit * Math.ceil((max + room) / unit),
  };
}

interface GroupTableProps {
  readonly groups: readonly PlaceGroup[];
  readonly total: number;
}

function GroupTable({ groups, total }: GroupTableProps): VNode {
  return (
    <Folded title={strings.embeddingTable}>
      <ScrollingTable
        caption={strings.embeddingTable}
        columns={[
          { title: strings.groupName },
          { title: strings.examples, isNumber: true },
          { title: strings.share, isNumber: true },
          { title: strings.meanScore, isNumber: true },
        ]}
        rows={groups.map(({ name, points }) => [
          name,
          formatCount(points.length),
          formatPercent(points.length / Math.max(1, total)),
          meanScore(points),
        ])}
      />
    </Folded>
  );
}

function meanScore(points: readonly PlacedPoint[]): string {
  const finite = points.flatMap(({ score }) => score ?? []);
  return finite.length === 0
    ? strings.none
    : formatDistance(finite.reduce((sum, score) => sum + score, 0) / finite.length);
}
