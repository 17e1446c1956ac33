import type { VNode } from 'preact';
import { useMemo } from 'preact/hooks';
import type { AxisRange, ScatterContent } from '../../charts/scatter-chart';
import { Dropdown } from '../../components/controls';
import { Section } from '../../components/section';
import { formatCount, formatDistance } from '../../format';
import { joinSentences, named } from '../../translate';
import type { MapProps } from './grouped-map';
import { GroupedMap } from './grouped-map';
import { placeGroups } from './place-groups';
import type { PlaceGroup } from './place-groups';
import { strings } from '../strings';
import type { Overview, PlacedPoint } from '../types';
import type { View } from '../view-state';

type Embedding = NonNullable<Overview['embedding']>;

interface EmbeddingMapProps extends MapProps {
  readonly embedding: Embedding;
  readonly color: View['map']['color'];
  readonly onColor: (color: View['map']['color']) => void;
}

/** Map of the examples by the features of a proxy model. */
export function EmbeddingMap(props: EmbeddingMapProps): VNode {
  const { overview, embedding, color, controls, onColor, onPick, onSelect } = props;
  const { points, layer, layout } = embedding;
  const groups = useMemo(
    () => placeGroups(overview, points, color).filter((group) => group.points.length > 0),
    [overview, points, color],
  );
  const content = useMemo(() => buildContent(groups, embedding), [groups]);
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
      <GroupedMap
        {...{ groups, points, content, onPick, onSelect }}
        summary={strings.embeddingSummary}
        said={({ index }, group) => named(strings.point(formatCount(index)), group)}
        note={
          <p class="muted" id="map-hint">
            {joinSentences([
              strings.embeddingNote(layer, strings.layoutName[layout]),
              ...(points.length < overview.examples
                ? [strings.mapSampled(formatCount(points.length), formatCount(overview.examples))]
                : []),
              strings.mapHint,
            ])}
          </p>
        }
        table={{
          title: strings.embeddingTable,
          group: strings.groupName,
          means: [{ title: strings.meanScore, of: ({ score }) => score }],
        }}
      />
    </Section>
  );
}

const colors = ['label', 'score', 'issue'] as const;

function buildContent(
  groups: readonly PlaceGroup[],
  { points, layout }: Embedding,
): ScatterContent {
  const axisTitle = (number: string) => strings.axis(strings.layoutName[layout], number);
  return {
    series: groups.map(({ name, points: members, color, marker }) => ({
      ...{ label: name, color, marker },
      points: members.map(({ index, x, y }) => ({ index, x, y })),
    })),
    titles: { x: axisTitle('1'), y: axisTitle('2') },
    format: formatDistance,
    rangeX: findRange(points, ({ x }) => x),
    rangeY: findRange(points, ({ y }) => y),
    pointTitle: ({ index }) => strings.point(formatCount(index)),
  };
}

/** All points with a little room around them, between round numbers. */
function findRange(
  points: readonly PlacedPoint[],
  coordinate: (point: PlacedPoint) => number,
): AxisRange {
  let [min, max] = [Infinity, -Infinity];
  for (const point of points) {
    min = Math.min(min, coordinate(point));
    max = Math.max(max, coordinate(point));
  }
  const room = max > min ? 0.02 * (max - min) : 1;
  const unit = 10 ** Math.floor(Math.log10(max - min + 2 * room)) / 2;
  return {
    min: unit * Math.floor((min - room) / unit),
    max: unit * Math.ceil((max + room) / unit),
  };
}
