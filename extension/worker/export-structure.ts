import { describeModel } from '../core/inspect/describe-model';
import { allTensors, tensorsAsCsv } from '../core/inspect/tensor-table';
import { writeText } from '../core/jobs/write-document';
import type { OpenModel } from '../core/models/model-cache';
import type { ExportStructureRequest } from '../protocol/worker';

/** Writes a model's structure, with the statistics that were read, to a file. */
export async function exportStructure(
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
