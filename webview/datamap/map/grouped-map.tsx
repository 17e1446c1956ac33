import type { ComponentChildren, VNode } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import type { ChartRegion, ScatterContent, ScatterPoint } from '../../charts/scatter-chart';
import type { SeriesColor } from '../../charts/theme-colors';
import { ScatterPlot } from '../../components/charts';
import { Legend } from '../../components/legend';
import type { Marker } from '../../components/legend';
import { Folded } from '../../components/section';
import { ScrollingTable } from '../../components/table';
import { formatCount, formatDistance, formatShare } from '../../format';
import { listed, named } from '../../translate';
import { strings } from '../strings';
import type { Overview } from '../types';

/** The map that is shown; there is one at a time. */
const mapId = 'map';

export interface MapProps {
  readonly overview: Overview;
  /** Stand at the right of the title. */
  readonly controls: ComponentChildren;
  /** Shows an example. */
  readonly onPick: (index: number) => void;
  /** Shows the examples in a part of the map. */
  readonly onSelect: (region: ChartRegion) => void;
}

/** Examples that are drawn alike. */
export interface Group<Point> {
  readonly name: string;
  readonly points: readonly Point[];
  readonly color: SeriesColor;
  readonly marker: Marker;
}

interface GroupedMapProps<Point> extends Pick<MapProps, 'onPick' | 'onSelect'> {
  readonly groups: readonly Group<Point>[];
  /** All points; a ring moves with its points. */
  readonly points: readonly Point[];
  readonly content: ScatterContent;
  /** The map in words, from the groups and how many are in each. */
  readonly summary: (groups: string) => string;
  /** Announcement of a point that receives the keyboard focus. */
  readonly said: (point: ScatterPoint, group: string) => string;
  /** With the id `map-hint`. */
  readonly note: VNode;
  readonly table: {
    readonly title: string;
    readonly group: string;
    /** Columns with the mean of each group; undefined if a point has no such number. */
    readonly means: readonly {
      readonly title: string;
      readonly of: (point: Point) => number | null | undefined;
    }[];
  };
}

/** A scatter chart of examples in groups, with its legend and the same as a table. */
export function GroupedMap<Point extends { readonly index: number }>(
  props: GroupedMapProps<Point>,
): VNode {
  const { groups, points, content, summary, said, note, table, onPick, onSelect } = props;
  const [ring, setRing] = useState<number>();
  const [visited, setVisited] = useState('');
  useEffect(() => {
    setRing(undefined);
    setVisited('');
  }, [points]);
  const names = useMemo(
    () =>
      new Map(
        groups.flatMap((group) => group.points.map(({ index }) => [index, group.name] as const)),
      ),
    [groups],
  );
  const counts = groups.map(({ name, points: members }) =>
    named(name, formatCount(members.length)),
  );
  return (
    <>
      <Legend items={groups.map(({ name, color, marker }) => ({ name, color, mark: marker }))} />
      <ScatterPlot
        id={mapId}
        content={content}
        ring={ring}
        label={summary(listed(counts))}
        describedBy="map-hint"
        actions={{
          visit: (point) => {
            setRing(point.index);
            setVisited(said(point, names.get(point.index) ?? ''));
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
      <Folded title={table.title}>
        <ScrollingTable
          caption={table.title}
          columns={[
            { title: table.group },
            ...[strings.examples, strings.share, ...table.means.map(({ title }) => title)].map(
              (title) => ({ title, isNumber: true }),
            ),
          ]}
          rows={groups.map(({ name, points: members }) => [
            name,
            formatCount(members.length),
            formatShare(members.length / Math.max(1, points.length)),
            ...table.means.map(({ of }) => formatMean(members.flatMap((point) => of(point) ?? []))),
          ])}
        />
      </Folded>
    </>
  );
}

/** Restores the keyboard focus on the map. */
export function focusMap(): void {
  document.getElementById(mapId)?.focus();
}

const formatMean = (values: readonly number[]): string =>
  values.length === 0
    ? strings.none
    : formatDistance(values.reduce((sum, value) => sum + value, 0) / values.length);
