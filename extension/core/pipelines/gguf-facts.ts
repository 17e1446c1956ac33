import { ggufPlacesOf } from '../export/gguf/input-sums';
import { takesTypes } from '../export/gguf/type-mixes';
import { checkChanges } from '../export/changes';
import { chooseOutput } from '../export/output-options';
import { writeSource } from '../export/write-source';
import type { JobContext } from '../jobs/job';
import type { LinearLayer, OuterMatrix } from '../models/matrix-encoding';
import type { OpenedModel } from '../models/opened-model';
import type { GgufFacts } from '../tensornet/sensitivity/sensitivity-profile';
import { UserError } from '../user-error';
import { say } from '../message';
import type { Message } from '../message';

/**
 * The GGUF file that a model becomes with all tensors as stored, and what its matrices are called in it. Nothing is
 * written.
 * @throws UserError where the model can't be written so, or a matrix has no tensor of its own that takes any type.
 */
export async function ggufFacts(
  opened: OpenedModel,
  matrices: readonly (LinearLayer | OuterMatrix)[],
  memoryBytes: number,
  context: JobContext,
): Promise<GgufFacts> {
  const source = writeSource(opened);
  const changes = checkChanges(source.model.summary, []);
  const output = await chooseOutput(source, changes, { format: 'gguf' });
  const quiet = { ...context, warn: () => undefined };
  const { bytes, tensorBytes } = await output.writer(
    changes,
    { device: 'cpu', memoryBytes },
    quiet,
  );
  const placesOf = ggufPlacesOf(opened);
  const owners = new Map<string, string>();
  const tensors: Record<string, Record<string, number>> = {};
  for (const matrix of matrices) {
    const { id, weight } = matrix;
    const refuse = (problem: Message): never => {
      throw new UserError(problem, {
        file: opened.path,
        field: id,
        remedy: say`Choose other layers with --roles and --blocks.`,
      });
    };
    const lacking = say`It has no tensor of its own in a GGUF file.`;
    const places = placesOf(matrix, 1);
    if (places.length === 0) {
      refuse(lacking);
    }
    const own: Record<string, number> = {};
    for (const { name, expert } of places) {
      if (expert !== undefined) {
        refuse(say`The experts of a block share one tensor in a GGUF file, and so its type.`);
      }
      const other = owners.get(name);
      if (other !== undefined) {
        refuse(say`It shares the tensor ${name} with ${other} in a GGUF file, and so its type.`);
      }
      if (!takesTypes({ name, shape: weight.shape })) {
        refuse(say`llama.cpp reads ${name} as floats only, so it takes no other type.`);
      }
      owners.set(name, id);
      own[name] = tensorBytes?.get(name) ?? refuse(lacking);
    }
    tensors[id] = own;
  }
  return { bytes, tensors };
}
