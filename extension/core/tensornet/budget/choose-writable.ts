import { chooseOptions } from './choose-options';
import type { BudgetSolution, PartChoice } from './budget-problem';
import { removedSublayers } from './part-states';
import { toPlan } from './plan-under-budget';
import type { CompressionPlan, PlannedProblem } from './plan-under-budget';
import type { UserError } from '../../user-error';

/** Explains why a plan can't be written; undefined if it can. */
export type RefusePlan = (
  plan: Pick<CompressionPlan, 'remove' | 'widths'>,
) => Promise<UserError | undefined>;

/** A solution, and the problem without the states that were dropped for it. */
interface WritableChoice {
  readonly problem: PlannedProblem;
  readonly solution: BudgetSolution;
}

/**
 * Chooses options whose plan can be written. While a plan is refused, the removal that causes it is dropped from the
 * problem: if several do, the one with the largest loss.
 * @throws UserError if the limits can't be met, or the refusal of a plan that removes no sublayer
 */
export async function chooseWritable(
  problem: PlannedProblem,
  refuse: RefusePlan | undefined,
): Promise<WritableChoice> {
  const solution = await chooseOptions(problem);
  const plan = toPlan(problem, solution);
  const refusal = await refuse?.(plan);
  if (refuse === undefined || refusal === undefined) {
    return { problem, solution };
  }
  const removals = solution.parts.flatMap(({ state }, part) => {
    const ids = removedSublayers(problem.planned[part]?.states[state] ?? { changes: [] });
    const loss = problem.parts[part]?.states[state]?.loss ?? 0;
    return ids.length === 0 ? [] : [{ part, state, ids, loss }];
  });
  const causes = [];
  for (const removal of removals) {
    if ((await refuse(without(plan, removal.ids))) === undefined) {
      causes.push(removal);
    }
  }
  const [cause] = (causes.length > 0 ? causes : removals).sort((a, b) => b.loss - a.loss);
  if (cause === undefined) {
    throw refusal;
  }
  return chooseWritable(withoutState(problem, cause), refuse);
}

const without = (
  { remove, widths }: Pick<CompressionPlan, 'remove' | 'widths'>,
  ids: readonly string[],
): Pick<CompressionPlan, 'remove' | 'widths'> => ({
  remove: remove.filter((id) => !ids.includes(id)),
  widths,
});

function withoutState(
  problem: PlannedProblem,
  { part, state }: Pick<PartChoice, 'state'> & { readonly part: number },
): PlannedProblem {
  const { parts, alternatives = [parts.map(({ states }) => [...states.keys()])] } = problem;
  return {
    ...problem,
    alternatives: alternatives
      .map((allowed) =>
        allowed.with(
          part,
          (allowed[part] ?? []).filter((one) => one !== state),
        ),
      )
      .filter((allowed) => (allowed[part] ?? []).length > 0),
  };
}
