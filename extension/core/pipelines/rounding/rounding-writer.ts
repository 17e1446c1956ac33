import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ByteCopier } from '../../export/byte-copier';
import type { Changes } from '../../export/changes';
import type { OutputOption } from '../../export/output-options';
import type { WeightWriter, WriteOptions } from '../../export/weight-writer';
import { unattended } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import { onPath } from '../../jobs/write-errors';
import { openModelFiles } from '../../models/open-model';
import type { OpenedModel } from '../../models/opened-model';
import type { DeviceName } from '../../runtime/device';
import { roundModel } from './round-model';
import type { RoundingCalibration } from './round-model';

interface RoundingRequest {
  readonly model: OpenedModel;
  readonly feedback?: RoundingCalibration;
  readonly device: DeviceName;
  readonly memoryBytes: number;
}

/** Folder in the new model's for what is read while it is written. */
const workName = '.rounding';

/**
 * The writer of a model. With `feedback`, its matrices are rounded before: the model is written as a GGUF file without
 * other types, whose tensors are the rows to round, unless it is one already.
 */
export async function roundingWriter(
  { model, feedback: calibration, device, memoryBytes }: RoundingRequest,
  target: OutputOption,
  changes: Changes,
  options: WriteOptions,
  partial: string,
  context: JobContext,
): Promise<WeightWriter> {
  const quiet = { ...unattended, cancellation: context.cancellation };
  const { tensorTypes } =
    calibration === undefined ? {} : await target.writer(changes, options, quiet);
  if (calibration === undefined || tensorTypes === undefined) {
    return target.writer(changes, options, context);
  }
  const folder = join(partial, workName);
  await onPath(folder, async () => mkdir(folder));
  const { types, ...asStored } = options;
  const isPlain =
    model.format === 'gguf' && model.widthPruned === undefined && changes.removed.length === 0;
  const plain = isPlain
    ? model
    : await writePlain(await target.writer(changes, asStored, quiet), folder, context);
  const how = { calibration, device, memoryBytes };
  const rounded = await roundModel(plain, tensorTypes, join(folder, 'rounded'), how, context);
  return target.writer(changes, { ...options, types: { ...types, rounded } }, context);
}

async function writePlain(
  writer: WeightWriter,
  folder: string,
  context: JobContext,
): Promise<OpenedModel> {
  const copier = new ByteCopier(writer.bytes, context);
  try {
    const [name = ''] = await writer.write(folder, copier);
    return await openModelFiles(join(folder, name));
  } finally {
    await copier.close();
  }
}

/** Removes what was written for rounding. */
export async function removeRounded(partial: string): Promise<void> {
  await rm(join(partial, workName), { recursive: true, force: true });
}
