import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ByteCopier } from '../../export/byte-copier';
import type { Changes } from '../../export/changes';
import type { OutputOption } from '../../export/output-options';
import type { WeightWriter, WriteOptions } from '../../export/weight-writer';
import { unattended } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import { onPath } from '../../jobs/write-document';
import { openModelFiles } from '../../models/open-model';
import type { OpenedModel } from '../../models/opened-model';
import type { DeviceName } from '../../runtime/device';
import { distillModel, requireDistillable } from './distill-model';
import { roundModel } from './round-model';
import type { RoundingCalibration } from '../compression/start-calibration';
import type { RoundingStore } from './rounding-store';

/** Rounding of a model with error feedback. */
export interface Feedback extends RoundingCalibration {
  /** Keeps rounded tensors until the result is written. */
  readonly store: RoundingStore;
}

interface RoundingRequest {
  readonly model: OpenedModel;
  readonly feedback?: Feedback | undefined;
  readonly device: DeviceName;
  readonly memoryBytes: number;
}

/** Folder in the store's for the model that is rounded. */
const plainName = 'plain';

/**
 * The writer of a model. With `feedback`, its matrices are rounded before: the model is written as a GGUF file without
 * other types, whose tensors are the rows to round, unless it is one already.
 */
export async function roundingWriter(
  { model, feedback, device, memoryBytes }: RoundingRequest,
  target: OutputOption,
  changes: Changes,
  options: WriteOptions,
  context: JobContext,
): Promise<WeightWriter> {
  const quiet = { ...unattended, cancellation: context.cancellation };
  const { tensorTypes } =
    feedback === undefined ? {} : await target.writer(changes, options, quiet);
  if (feedback === undefined || tensorTypes === undefined) {
    return target.writer(changes, options, context);
  }
  const { store, distillation, ...calibration } = feedback;
  const { types, ...asStored } = options;
  if (distillation !== undefined) {
    const { length } = calibration.request;
    requireDistillable(model.model, length, distillation, memoryBytes);
  }
  const isPlain =
    model.format === 'gguf' && model.widthPruned === undefined && changes.removed.length === 0;
  const folder = join(store.folder, plainName);
  try {
    const plain = isPlain
      ? model
      : await writePlain(await target.writer(changes, asStored, quiet), folder, context);
    const how = { calibration, device, memoryBytes };
    const rounded = await roundModel(plain, tensorTypes, store, how, context);
    const trained =
      distillation === undefined
        ? rounded
        : await distillModel(
            ...([plain, tensorTypes, rounded, store] as const),
            { ...how, settings: distillation, importance: types?.importance },
            context,
          );
    return await target.writer(
      changes,
      { ...options, types: { ...types, rounded: trained } },
      context,
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function writePlain(
  writer: WeightWriter,
  folder: string,
  context: JobContext,
): Promise<OpenedModel> {
  // A killed run leaves an incomplete file.
  await rm(folder, { recursive: true, force: true });
  await onPath(folder, async () => mkdir(folder));
  const copier = new ByteCopier(writer.bytes, context);
  try {
    const [name = ''] = await writer.write(folder, copier);
    return await openModelFiles(join(folder, name));
  } finally {
    await copier.close();
  }
}
