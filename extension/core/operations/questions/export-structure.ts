import { describeModel } from '../../inspect/describe-model';
import { allTensors, tensorsAsCsv } from '../../inspect/tensor-table';
import { writeText } from '../../jobs/write-document';
import type { OpenModel } from '../../models/model-cache';
import type { TensorStatistics } from '../../inspect/tensor-statistics';

export interface ExportStructureRequest {
  readonly model: string;
  readonly format: 'json' | 'csv';
  /** Statistics of the tensors read so far. */
  readonly statistics: Readonly<Record<string, TensorStatistics>>;
  readonly file: string;
}

/** Writes a model's structure, with the statistics that were read, to a file. */
export async function writeStructure(
  { model, format, statistics, file }: ExportStructureRequest,
  open: OpenModel,
): Promise<null> {
  const description = await describeModel(model, open);
  const known = Object.keys(statistics).length === 0 ? undefined : statistics;
  const text =
    format === 'json'
      ? `${JSON.stringify({ ...description, statistics: known }, undefined, 2)}\n`
      : tensorsAsCsv(allTensors(description), known && new Map(Object.entries(known)));
  await writeText(file, text);
  return null;
}
