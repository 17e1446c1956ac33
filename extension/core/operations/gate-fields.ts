import * as v from 'valibot';
import { asksFor, gateForm, outcomes } from '../evaluate/gate';
import { defaultTokens } from '../evaluate/perplexity';
import type { Verdict } from '../evaluate/gate';
import type { ShotsRequest } from '../data/tasks/task-file';
import { UserError } from '../user-error';
import { flag, group, integer, list, path } from './fields';
import type { RequestOf } from './fields';
import { allNeed, needs } from './rules';
import { say } from '../message';

/** File of the samples that is read if no text is given. */
export const heldOutText = 'held-out.txt';

export const gateField = list({
  description:
    'Limits that the result must meet, such as perplexity<+10%, task>-2pt, agreement>90%, speed>+10%, size<-20%; exit code 1 if it does not',
  form: gateForm,
  placeholder: 'LIMIT,…',
  setting: 'gate',
});

export const wholeTextField = flag({
  description: `Read all of the held-out text, instead of ${defaultTokens} tokens from all over it`,
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

export function shotsOf({ shots, shotsFrom }: RequestOf<typeof shotsFields>): ShotsRequest {
  return {
    ...(shots === undefined ? {} : { shots }),
    ...(shotsFrom === undefined ? {} : { shotsFrom }),
  };
}

/** Of operations that write a changed model. */
export const gateFields = group('Verdict', {
  gate: gateField,
  heldOut: path({
    description: 'Held-out text for both models (.txt, .md, .jsonl)',
    fallback: 'the text that comes with Espalier',
    setting: 'evaluation.file',
  }),
  wholeText: wholeTextField,
  task: path({ description: 'Task whose accuracy a requirement limits (.jsonl)' }),
  ...shotsFields,
});

export const gateRules = [allNeed(['heldOut', 'wholeText', 'task'], 'gate'), ...shotsRules];

export const verdictSchema = v.looseObject({
  outcome: v.picklist(outcomes),
  limits: v.array(v.looseObject({ limit: v.string(), outcome: v.picklist(outcomes) })),
});

/** No limits, or all of them kept. */
export const keepsLimits = ({ verdict }: { readonly verdict?: Verdict | undefined }): boolean =>
  verdict === undefined || verdict.outcome === 'accept';

/** The limits of a request, and what they are measured on. */
export type Gate = RequestOf<typeof gateFields>;

/** Only what the gate asks for of a request. */
export function gateOf({ gate, heldOut, wholeText, task, ...shots }: Gate): Gate {
  return {
    ...(gate === undefined ? {} : { gate }),
    ...(heldOut === undefined ? {} : { heldOut }),
    wholeText,
    ...(task === undefined ? {} : { task }),
    ...shotsOf(shots),
  };
}

/** @throws UserError where a task is named that no limit is for, or the other way round. */
export function requireTask({ gate = [], task }: Gate): void {
  if (asksFor(gate, 'task') !== (task !== undefined)) {
    throw new UserError(
      task === undefined
        ? say`The task limit needs a task.`
        : say`The task has no effect, because no limit is for it.`,
      {
        field: task === undefined ? 'gate' : 'task',
        remedy: say`Set both, or neither.`,
      },
    );
  }
}
