import { isSameText } from '../../../extension/core/quality-labels';
import { candidateSublayers } from '../selection';
import { listUnits } from '../units';
import type { BaselineName, Evaluation, ModelSummary, Round, ShownProfile } from '../types';

/** Units of the horizontal axis. */
export const axes = ['sublayers', 'parameters', 'bytes'] as const;
export type Axis = (typeof axes)[number];

/** A model after some rounds; `x` is what was removed, in the axis's unit. */
export interface CurvePoint {
  readonly rounds: number;
  readonly x: number;
  readonly y: number;
}

export interface Curves {
  readonly greedy: readonly CurvePoint[];
  readonly baselines: readonly { readonly name: BaselineName; readonly points: CurvePoint[] }[];
  readonly perplexity: readonly CurvePoint[];
}

/** Order in which baselines are listed. */
const BASELINES: readonly BaselineName[] = ['one-shot', 'reverse', 'random'];

/** True if the original's distance is 0, as for all metrics that compare with it. */
export const isZeroAtOriginal = ({
  settings: { metric },
}: Pick<ShownProfile, 'settings'>): boolean =>
  !['perplexity', 'answers', 'accuracy'].includes(metric);

/**
 * Curves of a profile. If the original's distance is zero, they start at the origin (which a logarithmic axis cannot
 * show).
 */
export function buildCurves(profile: ShownProfile, model: ModelSummary, axis: Axis): Curves {
  const origin = isZeroAtOriginal(profile) ? [{ rounds: 0, x: 0, y: 0 }] : [];
  const curve = (rounds: readonly Round[]): CurvePoint[] => {
    const removed = removedAmounts(rounds, model, axis);
    return [
      ...origin,
      ...rounds.map((round, index) => ({
        rounds: index + 1,
        x: removed[index + 1] ?? 0,
        y: round.distance,
      })),
    ];
  };
  const amounts = removedAmounts(profile.rounds, model, axis);
  return {
    greedy: curve(profile.rounds),
    baselines: BASELINES.flatMap((name) => {
      const rounds = profile.baselines[name];
      return rounds === undefined || rounds.length === 0 ? [] : [{ name, points: curve(rounds) }];
    }),
    perplexity: comparableEvaluations(profile)
      .flatMap(({ rounds, perplexity }) => {
        const x = amounts[rounds];
        return x === undefined ? [] : [{ rounds, x, y: perplexity }];
      })
      .sort((a, b) => a.x - b.x),
  };
}

/** Evaluations on the same text as that of the original. */
function comparableEvaluations({ evaluations }: ShownProfile): readonly Evaluation[] {
  const original = evaluations.find(({ rounds }) => rounds === 0);
  return original === undefined
    ? evaluations
    : evaluations.filter((one) => isSameText(one, original));
}

/** Removed amounts after 0, 1, 2 … rounds. */
function removedAmounts(
  rounds: readonly Round[],
  model: ModelSummary,
  axis: Axis,
): readonly number[] {
  const sublayers = new Map(listUnits(model).map((one) => [one.id, one]));
  const amounts = [0];
  let total = 0;
  for (const round of rounds) {
    for (const id of candidateSublayers(round.removed, model)) {
      total += axis === 'sublayers' ? 1 : (sublayers.get(id)?.[axis] ?? 0);
    }
    amounts.push(total);
  }
  return amounts;
}

/** One line of the chart's table: the model after `rounds` removals, in every order measured. */
export interface CurveRow {
  readonly rounds: number;
  readonly x: number;
  readonly removed: string | undefined;
  readonly distance: number | undefined;
  readonly baselines: readonly (number | undefined)[];
  readonly perplexity: number | undefined;
}

export function curveRows(profile: ShownProfile, model: ModelSummary, axis: Axis): CurveRow[] {
  const curves = buildCurves(profile, model, axis);
  const amounts = removedAmounts(profile.rounds, model, axis);
  const at = (points: readonly CurvePoint[], rounds: number) =>
    points.find((point) => point.rounds === rounds)?.y;
  return amounts.map((x, rounds) => ({
    rounds,
    x,
    removed: profile.rounds[rounds - 1]?.removed,
    distance: at(curves.greedy, rounds),
    baselines: curves.baselines.map(({ points }) => at(points, rounds)),
    perplexity: at(curves.perplexity, rounds),
  }));
}
