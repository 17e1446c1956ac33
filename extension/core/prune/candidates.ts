import type { ModelSummary, SublayerSummary } from '../models/model-summary';
import { UserError } from '../user-error';
import type { Budget, Level } from './options';

/** Something that one step of a search can remove: one sublayer, or a whole block. */
export interface Candidate {
  readonly id: string;
  /** Indexes into the model's sublayers, ascending. */
  readonly members: readonly number[];
}

/** All candidates of a level, in model order. */
export function listCandidates(model: ModelSummary, level: Level): readonly Candidate[] {
  if (level !== 'block') {
    return model.sublayers.flatMap((sublayer, index) =>
      level === 'sublayer' || sublayer.kind === level
        ? [{ id: sublayer.id, members: [index] }]
        : [],
    );
  }
  const members = new Map<number, number[]>();
  model.sublayers.forEach(({ block }, index) => {
    members.set(block, [...(members.get(block) ?? []), index]);
  });
  return [...members].map(([block, indexes]) => ({ id: `block.${block}`, members: indexes }));
}

/**
 * Expands ids of sublayers and blocks to the model's sublayers, in the order given, each once.
 * @throws UserError naming the first unknown id.
 */
export function resolveIds(
  model: ModelSummary,
  ids: readonly string[],
  subject: { readonly file?: string; readonly field: string },
): readonly SublayerSummary[] {
  const found = new Map<string, SublayerSummary>();
  for (const id of ids) {
    const matches = model.sublayers.filter(
      (sublayer) => sublayer.id === id || `block.${sublayer.block}` === id,
    );
    if (matches.length === 0) {
      throw new UserError(`The model has no sublayer "${id}".`, {
        ...subject,
        remedy: `Ids run from ${model.sublayers.at(0)?.id ?? '(none)'} to ${model.sublayers.at(-1)?.id ?? '(none)'}; block.N stands for both of its sublayers.`,
      });
    }
    for (const match of matches) {
      found.set(match.id, match);
    }
  }
  return [...found.values()];
}

/** Says when enough has been removed. */
export interface BudgetCheck {
  /** Whether the budget is used up once these sublayers are gone. */
  readonly isMet: (removed: ReadonlySet<number>, rounds: number) => boolean;
}

/** @throws UserError for a budget that cannot be met or removes nothing. */
export function checkBudget(budget: Budget, model: ModelSummary): BudgetCheck {
  if (budget.kind === 'all') {
    return { isMet: () => false };
  }
  const fault = (problem: string, field: string): UserError =>
    new UserError(problem, { field, remedy: `The model has ${model.sublayers.length} sublayers.` });
  if (budget.kind === 'count') {
    if (!Number.isInteger(budget.count) || budget.count < 1) {
      throw fault(
        `Cannot remove ${budget.count}: it must be a whole number of at least 1.`,
        'remove',
      );
    }
    return { isMet: (_, rounds) => rounds >= budget.count };
  }
  if (!(budget.ratio > 0 && budget.ratio <= 1)) {
    throw fault(`${budget.ratio} is not a ratio above 0 and up to 1.`, 'ratio');
  }
  if (budget.kind === 'ratio') {
    const target = Math.floor(budget.ratio * model.sublayers.length + 1e-9);
    if (target === 0) {
      throw fault(`A ratio of ${budget.ratio} removes no sublayer.`, 'ratio');
    }
    return { isMet: (removed) => removed.size >= target };
  }
  return {
    isMet: (removed) => {
      let parameters = 0;
      for (const index of removed) {
        parameters += model.sublayers[index]?.parameters ?? 0;
      }
      return parameters >= budget.ratio * model.parameters;
    },
  };
}

/**
 * Which candidates may be removed now: not protected, and not held back by the reference's
 * `exclude` x (the first ⌊x·N/2⌋+1 blocks wait until ⌊x·N⌋+1 of N sublayers are gone).
 */
export function eligibility(
  model: ModelSummary,
  protect: readonly string[],
  exclude: number,
): (candidate: Candidate, removed: ReadonlySet<number>) => boolean {
  const kept = new Set(
    resolveIds(model, protect, { field: 'protect' }).map((sublayer) => sublayer.id),
  );
  const count = model.sublayers.length;
  const heldBlocks = Math.floor((exclude * count) / 2) + 1;
  const heldUntil = Math.floor(exclude * count) + 1;
  return (candidate, removed) =>
    candidate.members.every((index) => {
      const sublayer = model.sublayers[index];
      const held = exclude > 0 && removed.size < heldUntil && (sublayer?.block ?? 0) < heldBlocks;
      return sublayer !== undefined && !kept.has(sublayer.id) && !removed.has(index) && !held;
    });
}
