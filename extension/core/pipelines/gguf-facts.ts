import { createGgufPlaceLookup } from '../export/gguf/input-sums';
import { takesTypes } from '../export/gguf/type-mixes';
import { checkChanges } from '../export/changes';
import { chooseOutput } from '../export/output-options';
import { writeSource } from '../export/write-source';
import type { JobContext } from '../jobs/job';
import { modelStacks } from '../models/layer-stacks';
import type { LayerStack } from '../models/layer-stacks';
import type { EmbeddingOrHead } from '../models/matrix-encoding';
import type { OpenedModel } from '../models/opened-model';
import type { GgufFacts } from '../tensornet/sensitivity/sensitivity-profile';
import type { ErrorCode } from '../error-codes';
import { UserError } from '../user-error';
import { say } from '../message';
import type { Message } from '../message';

/**
 * Layout of the GGUF file for a model with all tensors as stored, and the tensor names of its matrices. Writes nothing.
 * @throws UserError if the model can't be written as GGUF, or a matrix has no tensor whose type can be chosen
 */
export async function ggufFacts(
  opened: OpenedModel,
  matrices: readonly (LayerStack | EmbeddingOrHead)[],
  memoryBytes: number,
  context: JobContext,
): Promise<Pick<GgufFacts, 'bytes' | 'tensors' | 'blocks'>> {
  const source = writeSource(opened);
  const changes = checkChanges(source.model.summary, []);
  const output = await chooseOutput(source, changes, { format: 'gguf' });
  const quiet = { ...context, warn: () => undefined };
  const { bytes, tensorBytes } = await output.writer(
    changes,
    { device: 'cpu', memoryBytes },
    quiet,
  );
  const tensors: Record<string, Record<string, number>> = {};
  for (const [id, names] of ownTensors(opened, matrices)) {
    tensors[id] = Object.fromEntries(
      names.map((name) => [
        name,
        tensorBytes?.get(name) ?? refuse(opened, id, 'tensor-not-in-gguf', lacking),
      ]),
    );
  }
  const { blocks, encoderBlocks = 0 } = source.model.summary;
  const blockBytes = Array.from({ length: blocks }, () => 0);
  for (const [name, size] of tensorBytes ?? []) {
    const [, tower, number] = /^(enc\.|dec\.)?blk\.(\d+)\./.exec(name) ?? [];
    const block = Number(number) + (tower === 'dec.' ? encoderBlocks : 0);
    if (block < blocks) {
      blockBytes[block] = (blockBytes[block] ?? 0) + size;
    }
  }
  return { bytes, tensors, blocks: blockBytes };
}

/** True if each linear layer can have its own type in a GGUF file. All experts of a layer share one. */
export async function canTypeLayers(opened: OpenedModel): Promise<boolean> {
  try {
    const source = writeSource(opened);
    await chooseOutput(source, checkChanges(source.model.summary, []), { format: 'gguf' });
    ownTensors(opened, modelStacks(opened.model));
    return true;
  } catch (error) {
    if (error instanceof UserError) {
      return false;
    }
    throw error;
  }
}

const lacking = say`It has no separate tensor in a GGUF file.`;

function refuse({ path }: OpenedModel, id: string, code: ErrorCode, problem: Message): never {
  throw new UserError(code, problem, {
    file: path,
    field: id,
    remedy: say`Choose other layers with --roles and --blocks.`,
  });
}

/**
 * GGUF tensor names for each matrix.
 * @throws UserError if a matrix has no tensor whose type can be chosen
 */
function ownTensors(
  opened: OpenedModel,
  matrices: readonly (LayerStack | EmbeddingOrHead)[],
): Map<string, readonly string[]> {
  const findPlaces = createGgufPlaceLookup(opened);
  const owners = new Map<string, string>();
  const tensors = new Map<string, readonly string[]>();
  for (const matrix of matrices) {
    const { id } = matrix;
    const stored = 'layers' in matrix ? matrix.layers : [matrix];
    const places = stored.flatMap((one) =>
      findPlaces(one, stored.length).map(({ name }) => ({ name, shape: one.weight.shape })),
    );
    if (places.length === 0) {
      refuse(opened, id, 'tensor-not-in-gguf', lacking);
    }
    for (const { name, shape } of places) {
      const other = owners.get(name) ?? id;
      if (other !== id) {
        const problem = say`It shares the tensor ${name} with ${other} in a GGUF file, and therefore its type.`;
        refuse(opened, id, 'tensors-shared', problem);
      }
      if (!takesTypes({ name, shape })) {
        const problem = say`llama.cpp reads ${name} as floats only, so it can't have another type.`;
        refuse(opened, id, 'tensor-float-only', problem);
      }
      owners.set(name, id);
    }
    tensors.set(id, [...new Set(places.map(({ name }) => name))]);
  }
  return tensors;
}
