import { join } from 'node:path';
import { holdsTranscripts } from '../data/model-inputs';
import { evaluateModels, judgeModels } from '../evaluate/evaluate-models';
import { asksFor, judge } from '../evaluate/requirements';
import { giveRecordings } from '../evaluate/held-out';
import type { Verdict } from '../evaluate/requirements';
import { comparedMemory, measureQuality } from '../evaluate/measure-quality';
import type { Quality } from '../evaluate/measure-quality';
import { meanFactor, shareInterval } from '../evaluate/paired';
import { compareSpeed } from '../generate/compare-speed';
import { CancelledError } from '../jobs/job';
import { takesRecordings } from '../models/example';
import type { OpenedModel } from '../models/opened-model';
import type { PlanApplication } from '../pipelines/apply-plan';
import { UserError } from '../user-error';
import { heldOutText, requireTask, shotsRequest } from './requirement-fields';
import type { Requirements } from './requirement-fields';
import type { OperationContext } from './operation';
import { say } from '../message';
import type { Message } from '../message';

/** Two models to compare, and the device and memory to use. */
export type Compared = Pick<PlanApplication, 'device' | 'memoryBytes' | 'examples'> & {
  readonly original: OpenedModel;
  readonly changed: OpenedModel;
};

/**
 * Result of a measurement; undefined if it is canceled or fails, because the written model remains.
 * @param tell receives a message; `why` is absent if it is canceled
 */
export async function attempt<T>(
  measure: () => Promise<T>,
  tell: (why?: Message) => void,
): Promise<T | undefined> {
  try {
    return await measure();
  } catch (error) {
    if (error instanceof CancelledError) {
      tell();
    } else if (error instanceof UserError) {
      tell(error.problem);
    } else {
      throw error;
    }
    return undefined;
  }
}

/** Distance of a changed model from its original, on the held-out text. */
export async function compareWithOriginal(
  models: Compared,
  requirements: Requirements,
  context: OperationContext<unknown>,
): Promise<Quality> {
  const text = await comparisonInput(requirements, models, context);
  return measureQuality({ ...models, text }, { ...context, emit: () => undefined });
}

/**
 * Measures the required values and returns a verdict. Values that can't be measured, or were cancelled, count as "not
 * enough evidence".
 * @param quality already measured values
 */
export async function judgeChanged(
  models: Compared,
  requirements: Requirements,
  quality: Quality | undefined,
  context: OperationContext<unknown>,
): Promise<Verdict> {
  const { require: limits = [], task, wholeText: whole } = requirements;
  const { original, changed, device, memoryBytes } = models;
  const evaluated = { model: changed, removed: [], against: original, device, memoryBytes };
  const quiet = { ...context, emit: () => undefined };
  const measured = async <T>(measure: () => Promise<T>): Promise<T | undefined> =>
    attempt(measure, (why) => {
      context.warn(
        why === undefined
          ? say`There is not enough evidence for a verdict, because measuring was canceled.`
          : say`There is not enough evidence for a verdict: ${why}`,
      );
    });
  const text = await comparisonInput(requirements, models, context);
  const onText = predictText(models);
  const predicted =
    asksFor(limits, 'perplexity') || (onText && asksFor(limits, 'agreement'))
      ? await measured(async () => evaluateModels({ ...evaluated, text, whole }, quiet))
      : undefined;
  const answers =
    task === undefined
      ? undefined
      : await measured(async () =>
          judgeModels({ ...evaluated, task, ...shotsRequest(requirements) }, quiet),
        );
  const speed = asksFor(limits, 'speed')
    ? await measured(async () => compareSpeed({ original, changed, device, memoryBytes }, quiet))
    : undefined;
  const { top1Agreement, positions = 0 } = quality ?? {};
  const [before, after] = [original.summary, changed.summary];
  const { memory } = comparedMemory(original.model, changed.model);
  const verdict = judge(limits, {
    perplexityRatio: predicted?.perplexityRatio,
    task: answers?.compared,
    // Positions of a text are not independent, so only its windows tell how sure a share is.
    agreement:
      onText || top1Agreement === undefined
        ? predicted?.agreement
        : shareInterval(top1Agreement, positions),
    speedRatio: speed && meanFactor(speed.ratios),
    size: after.bytes / before.bytes,
    memory: memory && memory.after / memory.before,
    parameters: after.parameters / before.parameters,
  });
  return speed === undefined
    ? verdict
    : { ...verdict, speed: { before: speed.before, after: speed.after } };
}

/** True if both models predict the next token of a text, so that one text can evaluate them. */
export const predictText = ({
  original,
  changed,
}: Pick<Compared, 'original' | 'changed'>): boolean =>
  [original, changed].every(({ capabilities }) => capabilities.evaluate.able);

type Heard = Pick<Compared, 'original' | 'examples'>;

/** Input on which models are compared; for speech models, their examples by default. */
async function comparisonInput(
  { heldOut }: Requirements,
  { original, examples }: Heard,
  { environment }: Pick<OperationContext, 'environment'>,
): Promise<string> {
  const text = heldOut ?? join(environment.samples, heldOutText);
  return heldOut === undefined && (await holdsTranscripts(examples, original.model))
    ? (examples ?? text)
    : text;
}

/**
 * @throws UserError if a limit can't be measured: a task limit without a task, or a limit on predictions of a speech
 * model without recordings
 */
export async function requireMeasurable(
  requirements: Requirements,
  models: Heard,
  context: Pick<OperationContext, 'environment'>,
): Promise<void> {
  requireTask(requirements);
  const { model, summary } = models.original;
  const limit = requirements.require?.find((one) =>
    (['perplexity', 'agreement'] as const).some((measure) => asksFor([one], measure)),
  );
  if (limit === undefined || !takesRecordings(model)) {
    return;
  }
  if (!(await holdsTranscripts(await comparisonInput(requirements, models, context), model))) {
    throw new UserError(
      'recordings-missing',
      say`${summary.name} is a speech-to-text model, so the limit ${limit} can't be measured on a text.`,
      { field: 'heldOut', remedy: giveRecordings },
    );
  }
}
