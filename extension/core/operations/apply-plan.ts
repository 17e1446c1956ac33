import { resolve } from 'node:path';
import { defaultDocumentPath } from '../document-names';
import { exists } from '../jobs/partial';
import type { Plan } from '../plans/plan';
import { UserError } from '../user-error';
import { applyPlan } from '../pipelines/apply-plan';
import type { PlanApplication } from '../pipelines/apply-plan';
import type { CompressResult } from '../pipelines/compression/compress-model';
import type { PruneResult } from '../pipelines/prune-result';
import type { Verdict } from '../evaluate/requirements';
import type { Quality } from '../evaluate/measure-quality';
import { flag, group } from './fields';
import type { RequestOf } from './fields';
import { requirementFields, selectRequirements, requirementRules } from './requirement-fields';
import { attempt, compareWithOriginal, judgeChanged, requireMeasurable } from './judge-changed';
import type { OperationContext } from './operation';
import { writePlan } from './output-file';
import { switchedOff } from './rules';
import { say } from '../message';

/** Result of applying a plan. */
export type ApplyResult = (PruneResult | CompressResult) & {
  /** Quality of the written model compared with the original; absent if not requested. */
  readonly quality?: Quality;
  /**
   * Result of checking the request's requirements on the written model; absent if there are none.
   */
  readonly verdict?: Verdict;
};

export const qualityFields = {
  ...group('Output', {
    quality: flag({
      description: 'Compare the new model with the original on held-out text, for about 10 seconds',
      default: true,
      off: 'Do not compare the new model with the original',
    }),
  }),
  ...requirementFields,
};

export const qualityRules = [...requirementRules, switchedOff('quality', ['require'])];

/**
 * Writes a plan next to the model made from it. If that fails, for example because another file has
 * its name, shows a warning.
 * @throws UserError if the model no longer exists.
 */
export async function keepPlan(
  plan: Plan,
  out: string,
  { warn }: Pick<OperationContext, 'warn'>,
): Promise<void> {
  await writePlan(defaultDocumentPath('plan', resolve(out)), plan).catch(async (error: unknown) => {
    if (!(error instanceof UserError)) {
      throw error;
    }
    if (!(await exists(out))) {
      throw new UserError(
        'output-deleted',
        say`The new model was deleted just after it was written.`,
        {
          ...{ file: out, remedy: say`Run it again.` },
        },
      );
    }
    warn(error.whole);
  });
}

/** Fields of a request that determine how its result is judged. */
export const selectJudging = (request: Judging): Judging => ({
  quality: request.quality,
  ...selectRequirements(request),
});

type Judging = RequestOf<typeof qualityFields>;

/** Writes what a plan describes, and judges it as {@link addQuality} does. */
export async function applyAndMeasure(
  { judging, ...application }: PlanApplication & { readonly judging: Judging },
  context: OperationContext<unknown>,
): Promise<ApplyResult> {
  const { model: original, examples } = application;
  await requireMeasurable(
    judging,
    { original, ...(examples === undefined ? {} : { examples }) },
    context,
  );
  const result = await applyPlan(application, { ...context, emit: () => undefined });
  return addQuality(result, application, judging, context);
}

/**
 * Measures the distance of a written model from its original, and evaluates the given limits. If that fails or is
 * cancelled, the model remains and the verdict is "not enough evidence".
 */
export async function addQuality(
  result: ApplyResult,
  { model: original, examples, device, memoryBytes }: Original,
  judging: Judging,
  context: OperationContext<unknown>,
): Promise<ApplyResult> {
  if (!judging.quality) {
    return result;
  }
  const changed = await context.environment.open(result.path);
  const models = {
    ...{ original, changed, device, memoryBytes },
    ...(examples === undefined ? {} : { examples }),
  };
  const quality = await attempt(
    async () => compareWithOriginal(models, judging, context),
    (why) => {
      context.warn(
        why === undefined
          ? say`Wrote ${result.path}. Quality was not measured.`
          : say`Wrote ${result.path}, but it can't be compared with the original: ${why}`,
      );
    },
  );
  return {
    ...result,
    ...(quality === undefined ? {} : { quality }),
    ...(judging.require === undefined
      ? {}
      : { verdict: await judgeChanged(models, judging, quality, context) }),
  };
}

type Original = Pick<PlanApplication, 'model' | 'examples' | 'device' | 'memoryBytes'>;
