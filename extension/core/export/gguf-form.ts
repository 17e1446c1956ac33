import { basename, join } from 'node:path';
import type { GgufHeader } from '../checkpoints/gguf';
import type { JobContext } from '../jobs/job';
import { requireGgufBlocks } from '../models/gguf-model';
import type { LayeredModel } from '../models/layered-model';
import { planGguf, writeGguf } from './gguf-writer';
import { requireWholeBlocks } from './removal';
import type { Removal } from './removal';
import { describeGgufLoading } from './preview-file';
import { writtenLogits } from './verify';
import type { VerificationOptions } from './verify';
import { parametersAfter, planTensors } from './weight-plan';
import type { WeightWriter } from './weight-writers';

/** A GGUF file under its own name, with whole blocks taken out. */
export async function ggufWriter(
  model: LayeredModel,
  header: GgufHeader,
  removal: Removal,
  options: VerificationOptions,
  context: JobContext,
): Promise<WeightWriter> {
  requireWholeBlocks(model.summary, removal);
  await requireGgufBlocks(header, removal.blocks);
  const tensors = new Map(header.tensors.map((tensor) => [tensor.name, tensor]));
  const checkpoint = { tensors, files: [header.file], entry: header.file, metadata: {} };
  const kept = planTensors(model, checkpoint, removal);
  const plan = await planGguf(header, removal.blocks, kept);
  const name = basename(header.file);
  return {
    bytes: plan.bytes,
    parameters: parametersAfter(model, removal),
    loadsWith: describeGgufLoading(name, removal.blocks.length),
    texts: {},
    write: async (folder, copier) => {
      await writeGguf(join(folder, name), plan, copier);
      return [name];
    },
    output: async (folder, input) => writtenLogits(join(folder, name), input, options, context),
  };
}
