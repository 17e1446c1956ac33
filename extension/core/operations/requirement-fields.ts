import * as v from 'valibot';
import { asksFor, requirementForm, outcomes } from '../evaluate/requirements';
import { defaultTokens } from '../evaluate/perplexity';
import type { Verdict } from '../evaluate/requirements';
import type { ShotsRequest } from '../data/tasks/task-file';
import { UserError } from '../user-error';
import { flag, group, integer, list, path } from './fields';
import type { RequestOf } from './fields';
import { allNeed, needs } from './rules';
import { say } from '../message';
import { sampleText } from './shared-fields';

/** Bundled held-out text, the default. */
export const heldOutText = 'held-out.txt';

export const requirementsField = list({
  description:
    'Limits that the result must meet, such as perplexity<+10%, task>-2pt, agreement>90%, speed>+10%, size<-20%; exit code 1 if it does not',
  form: requirementForm,
  placeholder: 'LIMIT,…',
  setting: 'requirements',
});

export const wholeTextField = flag({
  description: `Read the whole held-out text instead of windows with ${defaultTokens} tokens in total`,
  default: false,
});

/** Few-shot examples of a task. */
export const shotsFields = {
  shots: integer({
    description: 'Few-shot examples before each question',
    fallback: '0',
    unit: 'examples',
    min: 1,
  }),
  shotsFrom: path({
    description: 'Task whose first examples are the few-shot examples (.jsonl)',
    fallback: 'the task itself, without the current example',
  }),
};

export const shotsRules = [needs('shots', 'task'), needs('shotsFrom', 'shots')];

export function shotsRequest({ shots, shotsFrom }: RequestOf<typeof shotsFields>): ShotsRequest {
  return {
    ...(shots === undefined ? {} : { shots }),
    ...(shotsFrom === undefined ? {} : { shotsFrom }),
  };
}

/** Requirement fields of operations that write a changed model. */
export const requirementFields = group('Verdict', {
  require: requirementsField,
  heldOut: path({
    description: 'Held-out text for both models (.txt, .md, .jsonl)',
    fallback: sampleText,
    setting: 'evaluation.file',
  }),
  wholeText: wholeTextField,
  task: path({ description: 'Task whose accuracy a requirement limits (.jsonl)' }),
  ...shotsFields,
});

export const requirementRules = [
  allNeed(['heldOut', 'wholeText', 'task'], 'require'),
  ...shotsRules,
];

export const verdictSchema = v.looseObject({
  outcome: v.picklist(outcomes),
  limits: v.array(v.looseObject({ limit: v.string(), outcome: v.picklist(outcomes) })),
});

/** True if there are no limits, or all are met. */
export const keepsLimits = ({ verdict }: { readonly verdict?: Verdict | undefined }): boolean =>
  verdict === undefined || verdict.outcome === 'accept';

/** Requirements of a request, and the inputs to check them on. */
export type Requirements = RequestOf<typeof requirementFields>;

/** Returns the requirement fields of a request. */
export function selectRequirements({
  require: limits,
  heldOut,
  wholeText,
  task,
  ...shots
}: Requirements): Requirements {
  return {
    ...(limits === undefined ? {} : { require: limits }),
    ...(heldOut === undefined ? {} : { heldOut }),
    wholeText,
    ...(task === undefined ? {} : { task }),
    ...shotsRequest(shots),
  };
}

/** @throws UserError if a task is set without a task requirement, or the other way round */
export function requireTask({ require: limits = [], task }: Requirements): void {
  if (asksFor(limits, 'task') !== (task !== undefined)) {
    throw new UserError(
      task === undefined ? 'task-missing' : 'flag-without-effect',
      task === undefined
        ? say`The task limit needs a task.`
        : say`The task has no effect, because no limit is for it.`,
      {
        field: task === undefined ? 'require' : 'task',
        remedy: say`Set both, or neither.`,
      },
    );
  }
}
