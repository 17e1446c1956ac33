import { compareModels } from '../inspect/compare-models';
import type { CompareRequest, ModelComparison } from '../inspect/model-comparison';
import type { JobContext } from '../jobs/job';
import type { OpenModel } from '../models/model-cache';
import { commonBlocks } from '../pipelines/source-blocks';

/** Compares two models, block by block if one was made from the other. */
export async function compareRelated(
  request: Omit<CompareRequest, 'numbers'>,
  context: JobContext,
  open: OpenModel,
): Promise<ModelComparison> {
  const numbers = await commonBlocks(request.model, request.against, open);
  return compareModels({ ...request, numbers }, context, open);
}
