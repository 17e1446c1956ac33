import { join } from 'node:path';
import { applyPlan } from '../pipelines/apply-plan';
import type { PlanApplication } from '../pipelines/apply-plan';
import type { CompressResult } from '../pipelines/compression/compress-model';
import type { PruneResult } from '../pipelines/prune-result';
import { measureQuality } from '../evaluate/measure-quality';
import type { Quality } from '../evaluate/measure-quality';
import { CancelledError } from '../jobs/job';
import { UserError } from '../user-error';
import { flag, group } from './fields';
import type { OperationContext } from './operation';
import { say } from '../message';

/** What applying a plan did. */
export type ApplyResult = (PruneResult | CompressResult) & {
  /** How far the written model is from the original; absent where that was not asked for. */
  readonly quality?: Quality;
};

export const qualityFields = group('Output', {
  quality: flag({
    description: 'Compare the new model with the original on 512 tokens',
    default: true,
    off: 'Do not compare the new model with the original',
  }),
});

/** Writes what a plan describes, and measures how far that is from the original if `quality` says so. */
export async function applyAndMeasure(
  { quality, ...application }: PlanApplication & { readonly quality: boolean },
  context: OperationContext<unknown>,
): Promise<ApplyResult> {
  const result = await applyPlan(application, { ...context, emit: () => undefined });
  return quality ? addQuality(result, application, context) : result;
}

/** Measures how far a written model is from its original. The model stays if that cannot be done or is cancelled. */
export async function addQuality(
  result: ApplyResult,
  original: Pick<PlanApplication, 'model' | 'examples' | 'device' | 'memoryBytes'>,
  context: OperationContext<unknown>,
): Promise<ApplyResult> {
  const { samples, open } = context.environment;
  try {
    const quality = await measureQuality(
      {
        original: original.model,
        changed: await open(result.path),
        text: join(samples, 'held-out.txt'),
        ...(original.examples === undefined ? {} : { examples: original.examples }),
        device: original.device,
        memoryBytes: original.memoryBytes,
      },
      { ...context, emit: () => undefined },
    );
    return { ...result, quality };
  } catch (error) {
    if (error instanceof CancelledError) {
      context.warn(say`${result.path} is written, but not compared with the original.`);
      return result;
    }
    if (error instanceof UserError) {
      context.warn(
        say`${result.path} is written, but it can't be compared with the original: ${error.problem}`,
      );
      return result;
    }
    throw error;
  }
}
