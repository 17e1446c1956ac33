import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeWorkFolder } from '../jobs/work-folder';
import { pruneWidth, readWidthPruning } from '../models/width-pruning/prune-width';
import type { OpenedModel } from '../models/opened-model';
import type { Plan } from '../plans/plan';

/**
 * Uses a model without the channels and groups that a plan removes from its sublayers.
 * @param folder for the pruned tensors, removed at the end; a temporary one when undefined
 * @throws UserError for sublayers that can't be width-pruned this way or are removed as well.
 */
export async function withPrunedWidths<T>(
  model: OpenedModel,
  plan: Pick<Plan, 'widths' | 'remove' | 'patch'>,
  folder: string | undefined,
  use: (widthPruned: OpenedModel) => Promise<T>,
): Promise<T> {
  const widthPruning = readWidthPruning(model, plan);
  if (widthPruning.size === 0) {
    return use(model);
  }
  const place = folder ?? join(tmpdir(), `espalier-widths-${randomUUID()}`);
  await makeWorkFolder(place);
  try {
    return await use(await pruneWidth(model, widthPruning, join(place, 'widths.safetensors')));
  } finally {
    await rm(place, { recursive: true, force: true });
  }
}
