import { joined, verbatim } from '../../message';
import type { OpenModel } from '../../models/model-cache';
import type { OpenedModel } from '../../models/opened-model';
import { unitsMeant } from '../../models/units';
import { choiceProblems } from '../../pipelines/compression/layer-choices';
import type { ChoiceProblem } from '../../pipelines/compression/layer-choices';
import { plannedModelPath } from '../../plans/plan';
import type { Plan } from '../../plans/plan';
import { placesIn, planProblems } from '../../plans/plan-problems';
import type { PlanProblem } from '../../plans/plan-problems';
import { parsePlan } from '../../plans/plan-schema';
import { UserError } from '../../user-error';
import { readDocument } from '../../documents/document-types';
import { writeDocument } from '../../jobs/write-document';
import type { ProfileEvaluation } from '../../prune/layer-profile';

/** Text of a plan, and the file it is from. */
export interface CheckPlanRequest {
  readonly file: string;
  readonly text: string;
}

/** Problems in the text of a plan, checked against its model. */
export async function checkPlan(
  { file, text }: CheckPlanRequest,
  open: OpenModel,
): Promise<readonly PlanProblem[]> {
  const problemAt = placesIn(text);
  try {
    const plan = parsePlan(text, file);
    const opened = await openPlannedModel(plan, file, open);
    const choices = findChoiceProblems(opened, plan).map(({ index, problem, remedy }) =>
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

async function openPlannedModel(plan: Plan, file: string, open: OpenModel): Promise<OpenedModel> {
  try {
    return await open(plannedModelPath(plan, file));
  } catch (error) {
    const reason = error instanceof UserError ? error.whole : verbatim((error as Error).message);
    throw new UserError('planned-model-unreadable', reason, {
      field: 'model.path',
      remedy: undefined,
    });
  }
}

function findChoiceProblems(
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

/** Perplexities that were measured after a search. */
export interface KeepEvaluationsRequest {
  readonly profile: string;
  /** Fingerprint of the evaluated model. */
  readonly fingerprint: string;
  readonly evaluations: readonly ProfileEvaluation[];
}

/** Adds perplexities to a layer profile, unless it belongs to another model. */
export async function writeEvaluations({
  profile: file,
  fingerprint,
  evaluations,
}: KeepEvaluationsRequest): Promise<null> {
  const profile = await readDocument('layerProfile', file);
  if (profile.model.fingerprint === fingerprint) {
    await writeDocument(file, { ...profile, evaluations });
  }
  return null;
}
