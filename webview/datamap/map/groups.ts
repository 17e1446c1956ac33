import type { Group } from './grouped-map';
import { strings } from '../strings';
import type { Experiment, MapPoint } from '../types';

export type MapGroup = Group<MapPoint>;

/** Points by how often the label was predicted; groups differ in shape as well as in color. */
export function groupByCorrectness(points: readonly MapPoint[]): MapGroup[] {
  const between = (low: number, high: number) =>
    points.filter(({ correctness }) => correctness >= low && correctness < high);
  return [
    {
      name: strings.correctness.mostly,
      points: between(2 / 3, Infinity),
      color: 'blue',
      marker: 'circle',
    },
    {
      name: strings.correctness.sometimes,
      points: between(1 / 3, 2 / 3),
      color: 'yellow',
      marker: 'triangle',
    },
    {
      name: strings.correctness.rarely,
      points: between(-Infinity, 1 / 3),
      color: 'red',
      marker: 'crossRot',
    },
  ];
}

export interface ExperimentSeries {
  readonly name: string;
  readonly rows: Experiment['rows'];
}

/** Rows of an experiment by what was trained on, each from the smallest share to the largest. */
export function groupSeries({ rows }: Experiment): ExperimentSeries[] {
  const groups = new Map<string, Experiment['rows'][number][]>();
  for (const row of rows) {
    const { choice, policy } = row;
    const name = policy === undefined || policy === choice ? choice : `${choice} ${policy}`;
    groups.set(name, [...(groups.get(name) ?? []), row]);
  }
  return [...groups].map(([name, members]) => ({
    name,
    rows: members.sort((a, b) => a.keep - b.keep),
  }));
}
