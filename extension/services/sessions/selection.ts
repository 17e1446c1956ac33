import { createHash } from 'node:crypto';
import type { PlannedWidthPruning } from '../../core/models/width-pruning/width';
import type { PlannedPatch } from '../../core/plans/plan';
import type { ExpertSummary, ModelSummary } from '../../core/models/model-summary';
import { isSameText, isSmallDistance, isSmallPerplexity } from '../../core/quality-labels';
import { expertIds, unitsMeant } from '../../core/models/units';
import type { Round } from '../../core/prune/layer-profile';
import type { Mark, ProfileState } from '../../protocol/heatmap';
import { noMarks, removedIds, withMark } from '../../protocol/marks';
import type { ManualMarks } from '../../protocol/marks';

/**
 * User's selection for one model. Ids are of sublayers and single experts, never of whole blocks.
 */
export interface Selection {
  /** In order of removal, if known. */
  readonly removed: readonly string[];
  readonly protectedIds: readonly string[];
  /** Number of rounds of the profile that equal `removed`; undefined after manual edits. */
  readonly rounds: number | undefined;
  /** Rounds that the slider is at. */
  readonly slider: number;
  readonly byHand: ManualMarks;
}

export const emptySelection: Selection = {
  ...{ removed: [], protectedIds: [], rounds: 0 },
  ...{ slider: 0, byHand: noMarks },
};

/**
 * Number of rounds up to the last one with a small loss, by its perplexity if that was measured, else by its distance.
 * 0 if no round has one.
 */
export function smallLossRounds({
  settings: { metric },
  rounds,
  evaluations,
}: Pick<ProfileState, 'settings' | 'rounds' | 'evaluations'>): number {
  const original = evaluations.find((one) => one.rounds === 0);
  const isSmall = ({ distance }: Round, count: number): boolean => {
    const measured = evaluations.find(
      (one) => one.rounds === count && original !== undefined && isSameText(one, original),
    );
    return original === undefined || measured === undefined
      ? isSmallDistance(metric, distance)
      : isSmallPerplexity(original.perplexity, measured.perplexity);
  };
  return rounds.findLastIndex((round, i) => isSmall(round, i + 1)) + 1;
}

/** Ids that the first `count` rounds remove. */
const removedByRounds = (
  rounds: readonly Round[],
  count: number,
  model: ModelSummary,
): readonly string[] => rounds.slice(0, count).flatMap((round) => unitsMeant(round.removed, model));

/** Moves the slider to `count` rounds. Marks set by hand stay. */
export function selectRounds(
  selection: Selection,
  count: number,
  rounds: readonly Round[],
  model: ModelSummary,
): Selection {
  const slider = Math.max(0, Math.min(Math.trunc(count), rounds.length));
  const { protectedIds, byHand } = selection;
  const removed = removedIds(removedByRounds(rounds, slider, model), byHand, protectedIds);
  const isByHand = byHand.removed.length + byHand.kept.length > 0;
  return {
    ...{ removed, protectedIds, slider, byHand },
    rounds: isByHand ? matchingRounds(removed, rounds, model) : slider,
  };
}

/** Marks one sublayer or expert by hand. */
export function markSublayer(
  { protectedIds, byHand, slider }: Selection,
  id: string,
  mark: Mark,
  rounds: readonly Round[],
  model: ModelSummary,
): Selection {
  const others = protectedIds.filter((one) => one !== id);
  const byRounds = removedByRounds(rounds, slider, model);
  const marked = {
    protectedIds: mark === 'protected' ? [...others, id] : others,
    byHand: withMark(byHand, id, mark, byRounds),
  };
  const removed = removedIds(byRounds, marked.byHand, marked.protectedIds);
  return { ...marked, removed, slider, rounds: matchingRounds(removed, rounds, model) };
}

/** A choice taken from a plan. Unknown ids are dropped: the plan's diagnostics name them. */
export function selectPlan(
  plan: { readonly remove: readonly string[]; readonly protect?: readonly string[] },
  rounds: readonly Round[],
  model: ModelSummary,
): Selection {
  const removed = [...new Set(plan.remove.flatMap((id) => unitsMeant(id, model)))];
  const protectedIds = [...new Set((plan.protect ?? []).flatMap((id) => unitsMeant(id, model)))];
  const matching = matchingRounds(removed, rounds, model);
  return {
    ...{ removed, protectedIds, rounds: matching, slider: matching ?? 0 },
    byHand: matching === undefined ? { removed, kept: [] } : noMarks,
  };
}

/** Number of rounds that remove exactly these sublayers, if there is one. */
export function matchingRounds(
  removed: readonly string[],
  rounds: readonly Round[],
  model: ModelSummary,
): number | undefined {
  const wanted = new Set(removed);
  const seen = new Set<string>();
  for (let count = 0; count <= rounds.length; count++) {
    if (seen.size === wanted.size) {
      return count;
    }
    for (const id of unitsMeant(rounds[count]?.removed ?? '', model)) {
      if (!wanted.has(id)) {
        return undefined;
      }
      seen.add(id);
    }
  }
  return undefined;
}

/** Removed sublayers, patches that replace some of them, and width pruning. */
export interface Choice {
  readonly removed: readonly string[];
  /** Width pruning of the sublayers that remain. */
  readonly widths: readonly PlannedWidthPruning[];
  /** Patches of removed sublayers, with absolute file paths. */
  readonly patches: readonly PlannedPatch[];
}

export const wholeModel: Choice = { removed: [], widths: [], patches: [] };

export const isWhole = ({ removed, widths }: Pick<Choice, 'removed' | 'widths'>): boolean =>
  removed.length + widths.length === 0;

/** Name under which a choice's results are kept: the order of removal does not matter, patches and widths do. */
export function choiceKey({ removed, widths, patches }: Choice): string {
  const names = new Map(patches.map((patch) => [patch.sublayer, patchName(patch)]));
  const widthPruned = widths.map((one) => `${one.sublayer}~${digest(one.remove)}`);
  return [...removed.map((id) => names.get(id) ?? id), ...widthPruned].sort().join(' ');
}

/** True if the evaluation key includes the patch. */
export const includesPatch = (key: string, patch: PlannedPatch): boolean =>
  key.split(' ').includes(patchName(patch));

function patchName({ sublayer, program, file }: PlannedPatch): string {
  return `${sublayer}@${digest(JSON.stringify([program, file]))}`;
}

const digest = (text: string): string =>
  createHash('sha256').update(text).digest('hex').slice(0, digits);

/** Number of digits that distinguishes the patches, or the widths, of one sublayer. */
const digits = 16;

/** Cost of the removed parts. */
export function selectionCost(
  removed: readonly string[],
  model: ModelSummary,
): { readonly parameters: number; readonly bytes: number } {
  const asked = new Set(removed);
  const removedSublayers = model.sublayers.flatMap(
    (sublayer): Pick<ExpertSummary, 'parameters' | 'bytes'>[] => {
      const { id, experts } = sublayer;
      if (asked.has(id) || experts === undefined) {
        return asked.has(id) ? [sublayer] : [];
      }
      return expertIds(sublayer).flatMap((expert) => (asked.has(expert) ? [experts] : []));
    },
  );
  return {
    parameters: removedSublayers.reduce((sum, { parameters }) => sum + parameters, 0),
    bytes: removedSublayers.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}
