import { issueKinds } from '../../../extension/protocol/datamap';
import { seriesColors } from '../../charts/theme-colors';
import type { Marker } from '../../components/legend';
import type { Group } from './grouped-map';
import { strings } from '../strings';
import type { Overview, PlacedPoint } from '../types';
import type { View } from '../view-state';

/** Points of the embedding that are drawn alike. */
export type PlaceGroup = Group<PlacedPoint>;

const markers: readonly Marker[] = ['circle', 'triangle', 'rect', 'rectRot', 'crossRot'];
/** Maximum number of groups that differ in color and marker. */
const mostGroups = seriesColors.length * markers.length;

/** Adjacent groups differ in color and marker, so that color alone is never needed. */
function styled(groups: readonly Pick<PlaceGroup, 'name' | 'points'>[]): PlaceGroup[] {
  return groups.map((group, i) => ({
    ...group,
    color: seriesColors[i % seriesColors.length] ?? 'blue',
    marker: markers[(i + Math.floor(i / markers.length)) % markers.length] ?? 'circle',
  }));
}

/** Points of the embedding in groups: classes, fifths of the scores, or issues. */
export function placeGroups(
  { classes }: Pick<Overview, 'classes'>,
  points: readonly PlacedPoint[],
  by: View['map']['color'],
): PlaceGroup[] {
  switch (by) {
    case 'label':
      return styled(byClass(classes, points));
    case 'score':
      return styled(byScore(points));
    case 'issue':
      return styled([
        { name: strings.noIssue, points: points.filter(({ issues }) => issues.length === 0) },
        ...issueKinds.map((kind) => ({
          name: strings.issueName[kind],
          points: points.filter(({ issues }) => issues[0] === kind),
        })),
      ]);
  }
}

function byClass(
  classes: Overview['classes'],
  points: readonly PlacedPoint[],
): Pick<PlaceGroup, 'name' | 'points'>[] {
  const members = new Map<number, PlacedPoint[]>();
  for (const point of points) {
    const label = point.label ?? -1;
    const known = members.get(label);
    if (known === undefined) members.set(label, [point]);
    else known.push(point);
  }
  const sorted = [...members].sort(([, a], [, b]) => b.length - a.length);
  const own = sorted.slice(0, sorted.length > mostGroups ? mostGroups - 1 : mostGroups);
  const others = sorted.slice(own.length).flatMap(([, some]) => some);
  return [
    ...own
      .sort(([a], [b]) => a - b)
      .map(([label, some]) => ({
        name: classes[label]?.name ?? strings.none,
        points: some,
      })),
    ...(others.length === 0 ? [] : [{ name: strings.otherClasses, points: others }]),
  ];
}

function byScore(points: readonly PlacedPoint[]): Pick<PlaceGroup, 'name' | 'points'>[] {
  const sortScore = ({ score }: PlacedPoint) => score ?? Infinity;
  const sorted = points.map(sortScore).sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const count = strings.fifths.length;
  const ends = strings.fifths.map(
    (_, i) => sorted[Math.ceil(((i + 1) * sorted.length) / count) - 1] ?? Infinity,
  );
  // Equal scores are in one group, so that some may be empty.
  return strings.fifths.map((name, i) => ({
    name,
    points: points.filter((point) => ends.findIndex((end) => sortScore(point) <= end) === i),
  }));
}
