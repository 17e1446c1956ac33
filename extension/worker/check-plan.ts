import { joined, verbatim } from '../core/message';
import type { OpenModel } from '../core/models/model-cache';
import type { OpenedModel } from '../core/models/opened-model';
import { unitsMeant } from '../core/models/units';
import { choiceProblems } from '../core/pipelines/compression/layer-choices';
import type { ChoiceProblem } from '../core/pipelines/compression/layer-choices';
import { modelPathOfPlan } from '../core/plans/plan';
import type { Plan } from '../core/plans/plan';
import { placesIn, planProblems } from '../core/plans/plan-problems';
import type { PlanProblem } from '../core/plans/plan-problems';
import { parsePlan } from '../core/plans/plan-schema';
import { UserError } from '../core/user-error';
import type { CheckPlanRequest } from '../protocol/worker';

/** What is wrong with the text of a plan, checked against the model it is for. */
export async function checkPlan(
  { file, text }: CheckPlanRequest,
  open: OpenModel,
): Promise<readonly PlanProblem[]> {
  const problemAt = placesIn(text);
  try {
    const plan = parsePlan(text, file);
    const opened = await openModelOf(plan, file, open);
    const choices = problemsOfChoices(opened, plan).map(({ index, problem, remedy }) =>
      problemAt(`compress[${index}].tensor`, joined([problem, remedy])),
    );
    return [...planProblems(text, opened.summary), ...choices];
  } catch (error) {
    if (!(error instanceof UserError)) {
      throw error;
    }
    const { problem, subject } = error;
    return [problemAt(subject.field, joined([problem, subject.remedy]))];
  }
}

async function openModelOf(plan: Plan, file: string, open: OpenModel): Promise<OpenedModel> {
  try {
    return await open(modelPathOfPlan(plan, file));
  } catch (error) {
    const told = error instanceof UserError ? error.whole : verbatim((error as Error).message);
    throw new UserError(told, { field: 'model.path', remedy: undefined });
  }
}

function problemsOfChoices(
  { model, summary }: OpenedModel,
  { compress = [], remove }: Plan,
): readonly ChoiceProblem[] {
  try {
    const removed = remove.flatMap((id) => unitsMeant(id, summary));
    return compress.length === 0 ? [] : choiceProblems(model, compress, removed);
  } catch {
    // Such as of a model that cannot be run: a plan is judged when it is carried out.
    return [];
  }
}
