import type { HeatmapState, ShownPatch } from '../../extension/protocol/heatmap';
import type { LogScale } from '../charts/log-scale';
import { logScale } from '../charts/log-scale';
import { expandSublayers, sublayersOf } from './selection';
import type { CandidateDistance, Mark } from './types';
import { isExpert, unitsOf } from './units';
import type { Unit } from './units';

type Granularity = NonNullable<CellSource['profile']>['settings']['granularity'];

/**
 * How much is known of a sublayer: its distance, only the local preview, nothing yet, or that the
 * search does not consider it (a search over attention alone says nothing of feed-forward).
 */
export type CellStatus = 'measured' | 'preview' | 'pending' | 'excluded';

/** One sublayer, or expert, as the grid, the details and the table show it. */
export interface Cell {
  readonly sublayer: Unit;
  readonly status: CellStatus;
  /** Distance of the original without this sublayer (or its block), when measured in full. */
  readonly distance: number | undefined;
  /** Standard error of the distance, where it is known. */
  readonly standardError: number | undefined;
  /** A lower bound where the distance was not needed in full. */
  readonly atLeast: number | undefined;
  /** 1 − cos(x, x + f(x)). */
  readonly preview: number | undefined;
  /** 1 is the cheapest candidate; undefined without a distance. */
  readonly rank: number | undefined;
  readonly mark: Mark;
  /** Place in the order of removal, from 1, when removed. */
  readonly order: number | undefined;
  /** Greedy round that removes it, from 1, when the search got there. */
  readonly round: number | undefined;
  /** What stands, or is to stand, in its place. */
  readonly patch: ShownPatch | undefined;
}

export interface CellSet {
  readonly cells: readonly Cell[];
  readonly byId: ReadonlyMap<string, Cell>;
  /** Number of candidates that have a rank. */
  readonly ranked: number;
  readonly distances: LogScale | undefined;
  readonly previews: LogScale | undefined;
}

/** The part of the panel's state that cells are made from. */
export type CellSource = Pick<
  HeatmapState,
  'model' | 'profile' | 'removed' | 'protectedIds' | 'patches'
>;

export function cellsOf({ model, profile, removed, protectedIds, patches }: CellSource): CellSet {
  const distances = new Map<string, CandidateDistance>();
  const ranks = new Map<string, number>();
  const rounds = new Map<string, number>();
  const previews = new Map<string, number>();
  const candidates = profile?.candidates ?? [];
  for (const candidate of candidates) {
    for (const id of sublayersOf(candidate.sublayer, model)) distances.set(id, candidate);
  }
  const ranked = candidates.flatMap(({ sublayer, distance }) =>
    distance === null ? [] : [{ sublayer, distance }],
  );
  ranked.sort((a, b) => a.distance - b.distance);
  for (const [index, { sublayer }] of ranked.entries()) {
    for (const id of sublayersOf(sublayer, model)) ranks.set(id, index + 1);
  }
  for (const [index, round] of (profile?.rounds ?? []).entries()) {
    for (const id of sublayersOf(round.removed, model)) rounds.set(id, index + 1);
  }
  for (const { sublayer, distance } of profile?.cosineLocal ?? []) {
    if (distance !== null) {
      for (const id of sublayersOf(sublayer, model)) previews.set(id, distance);
    }
  }
  const order = new Map(expandSublayers(removed, model).map((id, index) => [id, index + 1]));
  const locked = new Set(expandSublayers(protectedIds, model));
  const granularity = profile?.settings.granularity ?? 'sublayer';

  // Experts have cells where they matter: there may be thousands.
  const withExperts = granularity === 'expert' || [...order.keys(), ...locked].some(isExpert);
  const units = withExperts ? unitsOf(model) : model.sublayers;
  const cells = units.map((sublayer: Unit): Cell => {
    const measured = distances.get(sublayer.id);
    const distance = measured?.distance ?? undefined;
    const atLeast = distance === undefined ? measured?.atLeast : undefined;
    const preview = previews.get(sublayer.id);
    const patch = patches[sublayer.id];
    return {
      sublayer,
      status: statusOf(distance ?? atLeast, preview, isCandidate(sublayer, granularity)),
      distance,
      standardError: distance === undefined ? undefined : measured?.standardError,
      atLeast,
      preview,
      rank: ranks.get(sublayer.id),
      mark: order.has(sublayer.id) ? 'removed' : locked.has(sublayer.id) ? 'protected' : 'keep',
      order: order.get(sublayer.id),
      round: rounds.get(sublayer.id),
      // One that is planned stands for what goes.
      patch: patch?.place === 'model' || order.has(sublayer.id) ? patch : undefined,
    };
  });
  return {
    cells,
    byId: new Map(cells.map((cell) => [cell.sublayer.id, cell])),
    ranked: ranked.length,
    distances: logScale(cells.flatMap((cell) => cell.distance ?? cell.atLeast ?? [])),
    previews: logScale(previews.values()),
  };
}

/** Whether a search at `granularity` measures a unit. */
function isCandidate({ kind, expert }: Unit, granularity: Granularity): boolean {
  if (granularity === 'expert') return expert !== undefined;
  return (
    expert === undefined &&
    (granularity === 'sublayer' || granularity === 'block' || granularity === kind)
  );
}

function statusOf(
  distance: number | undefined,
  preview: number | undefined,
  considered: boolean,
): CellStatus {
  if (distance !== undefined) return 'measured';
  if (!considered) return 'excluded';
  return preview === undefined ? 'pending' : 'preview';
}
