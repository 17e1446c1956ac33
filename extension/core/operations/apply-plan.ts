import { join } from 'node:path';
import { applyPlan } from '../export/apply-plan';
import type { PlanApplication } from '../export/apply-plan';
import type { CompressResult } from '../export/compression/compress-model';
import type { PruneResult } from '../export/prune-result';
import { measureQuality } from '../evaluate/measure-quality';
import type { Quality } from '../evaluate/measure-quality';
import { flag, group } from './fields';
import type { OperationContext } from './operation';

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
  const quiet = { ...context, emit: () => undefined };
  const result = await applyPlan(application, quiet);
  return quality
    ? {
        ...result,
        quality: await measureQuality(
          {
            original: application.model,
            changed: await context.environment.open(result.path),
            text: join(context.environment.samples, 'held-out.txt'),
            ...(application.examples === undefined ? {} : { examples: application.examples }),
            device: application.device,
            memoryBytes: application.memoryBytes,
          },
          quiet,
        ),
      }
    : result;
}
