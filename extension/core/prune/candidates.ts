import { hasOwnParts, requireAble } from '../models/capability';
import type { ModelSummary } from '../models/model-summary';
import { explainUnevenGroups, RemovableUnits, unitsMeant } from '../models/units';
import { UserError } from '../user-error';
import type { Budget, Granularity, SearchSettings } from './options';
import { counted, joined, say } from '../message';

/** Unit that one search step can remove: a sublayer, a single expert, or a whole block. */
export interface Candidate {
  readonly id: string;
  /** Ascending indices of removed units; see {@link RemovableUnits}. */
  readonly members: readonly number[];
  /** Index of the first sublayer that it changes. */
  readonly first: number;
}

/**
 * All candidates of a granularity, in model order.
 * @throws UserError if nothing can be removed from the model.
 */
export function listCandidates(
  model: ModelSummary,
  granularity: Granularity,
): readonly Candidate[] {
  const { sublayers } = model;
  requireAble(hasOwnParts(model), model.path);
  if (granularity === 'block') {
    const members = new Map<number, number[]>();
    sublayers.forEach(({ block }, index) => {
      members.set(block, [...(members.get(block) ?? []), index]);
    });
    return [...members].map(([block, indexes]) => ({
      id: `block.${block}`,
      members: indexes,
      first: indexes[0] ?? 0,
    }));
  }
  if (granularity === 'expert') {
    const units = new RemovableUnits(model);
    return sublayers.flatMap((_, first) => {
      const experts = units.expertsOf(first);
      // Removing the only expert equals removing the MoE layer, and experts are removed from all groups together.
      const { least = 1, groups } = sublayers[first]?.experts ?? {};
      return experts.length <= least || groups !== undefined
        ? []
        : experts.map((unit) => ({ id: units.idOf(unit), members: [unit], first }));
    });
  }
  return sublayers.flatMap(({ id, kind }, index) =>
    granularity === 'sublayer' ||
    kind === granularity ||
    (granularity === 'attention' && kind === 'cross-attention')
      ? [{ id, members: [index], first: index }]
      : [],
  );
}

/** Source of ids, for errors. */
interface Subject {
  readonly file?: string;
  readonly field: string;
}

/**
 * Resolves ids of sublayers, experts and blocks to unique units, in the given order.
 * @throws UserError naming the first unknown id.
 */
export function resolveIds(
  model: ModelSummary,
  ids: readonly string[],
  subject: Subject,
): readonly number[] {
  if (ids.length > 0) {
    requireAble(hasOwnParts(model), model.path);
  }
  const units = new RemovableUnits(model);
  const found = new Set<number>();
  for (const id of ids) {
    const matches = unitsMeant(id, model).flatMap((meant) => units.numberOf(meant) ?? []);
    if (matches.length === 0) {
      throw new UserError('sublayer-unknown', say`The model has no sublayer "${id}".`, {
        ...subject,
        remedy: say`Ids range from ${model.sublayers.at(0)?.id ?? '(none)'} to ${model.sublayers.at(-1)?.id ?? '(none)'}; block.N means both of its sublayers${expertRemedy(model)}.`,
      });
    }
    for (const match of matches) {
      found.add(match);
    }
  }
  return [...found];
}

function expertRemedy({ sublayers }: ModelSummary): string {
  const mixture = sublayers.find(({ experts }) => experts !== undefined);
  return mixture?.experts === undefined
    ? ''
    : `, ${mixture.id}.0 to ${mixture.id}.${mixture.experts.count - 1} for single experts`;
}

/** @throws UserError if an MoE layer would keep fewer experts than it needs, or groups of different sizes. */
export function requireExperts(
  model: ModelSummary,
  removed: ReadonlySet<number>,
  subject: Subject,
): void {
  const units = new RemovableUnits(model);
  const uneven = units.unevenGroups(removed);
  if (uneven !== undefined) {
    throw new UserError('uneven-experts', explainUnevenGroups(uneven), {
      ...subject,
      remedy: say`Remove the same number from each group, as \`espalier score-experts --ratio\` plans it.`,
    });
  }
  const emptied = units.emptied(removed);
  if (emptied !== undefined) {
    const { id, experts: { count = 0, perToken = 0, least = 1, groups } = {} } = emptied;
    if (groups === undefined && least > perToken && least > 1) {
      throw new UserError(
        'experts-chosen-by-table',
        say`A table in ${id} selects experts by token, so none of them can be removed.`,
        {
          ...subject,
          remedy: say`Write ${id} to remove the whole MoE layer, or choose experts of another.`,
        },
      );
    }
    throw new UserError(
      'experts-too-few',
      groups !== undefined
        ? say`Too many of the ${count} experts of ${id} would be removed: each of its ${groups} groups needs ${least / groups}.`
        : least === 1
          ? say`Every expert of ${id} would be removed.`
          : say`Too many of the ${count} experts of ${id} would be removed: the graph routes each token to ${least}.`,
      {
        ...subject,
        remedy: say`Write ${id} to remove the whole MoE layer, or keep ${least === 1 ? 'one' : least} of its experts.`,
      },
    );
  }
}

/** Decides when the budget is used up. */
export interface BudgetCheck {
  /** True if removing these sublayers uses up the budget. */
  readonly isMet: (removed: ReadonlySet<number>, rounds: number) => boolean;
}

/** @throws UserError for a budget that can't be met or removes nothing. */
export function checkBudget(
  budget: Budget,
  model: ModelSummary,
  granularity: Granularity,
): BudgetCheck {
  if (budget.kind === 'all') {
    return { isMet: () => false };
  }
  const count = countUnits(model, granularity);
  if (budget.kind === 'count') {
    return { isMet: (_, rounds) => rounds >= budget.count };
  }
  if (budget.kind === 'ratio') {
    const target = Math.floor(budget.ratio * count + 1e-9);
    if (target === 0) {
      const all = counted(count, granularity === 'expert' ? 'expert' : 'sublayer');
      throw new UserError('ratio-too-small', say`A ratio of ${budget.ratio} removes nothing.`, {
        field: 'ratio',
        remedy: say`The model has ${all}.`,
      });
    }
    return { isMet: (removed) => removed.size >= target };
  }
  const units = new RemovableUnits(model);
  return {
    isMet: (removed) => {
      let parameters = 0;
      for (const unit of removed) {
        parameters += units.parametersOf(unit);
      }
      return parameters >= budget.ratio * model.parameters;
    },
  };
}

/** Number of units of a granularity; experts count if some of their MoE layer can be removed. */
function countUnits({ sublayers }: ModelSummary, granularity: Granularity): number {
  return granularity === 'expert'
    ? sublayers.reduce(
        (sum, { experts: { count = 0, least = 1, groups } = {} }) =>
          sum + (count > least && groups === undefined ? count : 0),
        0,
      )
    : sublayers.length;
}

/**
 * Returns a function that tests whether a candidate may be removed: not protected, and not excluded by `exclude` x of
 * the FinerCut code (the first ⌊x·N/2⌋+1 blocks of N sublayers must wait until ⌊x·M⌋+1 of M units are removed, where M
 * is N except for single experts). An MoE layer can only be removed if all of its experts may be.
 */
export function eligibility(
  model: ModelSummary,
  { protect, exclude, granularity }: Pick<SearchSettings, 'protect' | 'exclude' | 'granularity'>,
): (candidate: Candidate, removed: ReadonlySet<number>) => boolean {
  const units = new RemovableUnits(model);
  const protectedUnits = new Set(resolveIds(model, protect, { field: 'protect' }));
  const count = countUnits(model, granularity);
  const excludedBlocks = Math.floor((exclude * model.sublayers.length) / 2) + 1;
  const excludedUntil = Math.floor(exclude * count) + 1;
  return ({ members }, removed) =>
    members.every((unit) => {
      const index = units.sublayerOf(unit);
      const block = model.sublayers[index]?.block ?? 0;
      const isExcluded = exclude > 0 && removed.size < excludedUntil && block < excludedBlocks;
      const within = units.isExpert(unit) ? [index] : units.expertsOf(index);
      return (
        ![unit, ...within].some((one) => protectedUnits.has(one)) &&
        !removed.has(unit) &&
        !isExcluded
      );
    });
}

/** Error for a model without candidates of a granularity. */
export function nothingToRemove(
  { path, warnings, sublayers }: ModelSummary,
  granularity: Granularity,
): UserError {
  const grouped = sublayers.find(({ experts }) => experts?.groups !== undefined);
  if (granularity === 'expert' && grouped !== undefined) {
    return new UserError(
      'nothing-to-remove',
      say`The router of ${grouped.id} chooses from groups of experts. The same number must be removed from each, so no expert can be removed alone.`,
      {
        file: path,
        field: `granularity ${granularity}`,
        remedy: say`Plan the removal with \`espalier score-experts --ratio\`.`,
      },
    );
  }
  const reasons =
    granularity === 'expert'
      ? warnings.filter(({ code }) => code.startsWith('Single experts'))
      : [];
  return new UserError(
    'nothing-to-remove',
    joined([say`Nothing in the model can be removed at this granularity.`, ...reasons]),
    {
      file: path,
      field: `granularity ${granularity}`,
      remedy: say`Choose another granularity, such as sublayer.`,
    },
  );
}

/** Error for a search in which no candidate may be removed. */
export function explainNothingRemovable(): UserError {
  return new UserError(
    'candidates-all-protected',
    say`Nothing can be removed: every candidate is protected or excluded.`,
    { field: 'protect', remedy: say`Protect fewer sublayers, or lower exclude.` },
  );
}
