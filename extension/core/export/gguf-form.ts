import { basename, join } from 'node:path';
import type { GgufHeader } from '../checkpoints/gguf';
import type { JobContext } from '../jobs/job';
import { requireGgufBlocks } from '../models/gguf-model';
import type { LayeredModel } from '../models/layered-model';
import type { ModelSummary } from '../models/model-summary';
import { UserError } from '../user-error';
import { planGguf, writeGguf } from './gguf-writer';
import type { Removal } from './removal';
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
    loadsWith: `llama.cpp and what is built on it: ${name}, an ordinary model of ${removal.blocks.length} blocks.`,
    texts: {},
    write: async (folder, copier) => {
      await writeGguf(join(folder, name), plan, copier);
      return [name];
    },
    output: async (folder, input) => writtenLogits(join(folder, name), input, options, context),
  };
}

function requireWholeBlocks(
  { path, architecture, sublayers }: ModelSummary,
  removal: Removal,
): void {
  const left = new Set(removal.kept.map(({ block }) => block));
  const torn = sublayers.find(({ id, block }) => removal.removed.includes(id) && left.has(block));
  if (torn !== undefined) {
    throw wholeBlocksOnly(path, architecture, `${torn.id} would go alone`);
  }
}

/** Single sublayers cannot be taken out of a GGUF file. */
export function wholeBlocksOnly(path: string, architecture: string, why: string): UserError {
  return new UserError(
    `llama.cpp asks for attention and feed-forward in every block of a ${architecture} model, but ${why}.`,
    {
      file: path,
      field: 'remove',
      remedy: 'Remove whole blocks (--level block), or prune the Hugging Face folder of the model.',
    },
  );
}
