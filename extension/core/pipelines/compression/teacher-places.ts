import type { ModelSummary } from '../../models/model-summary';
import { UserError } from '../../user-error';
import { manifestName } from '../../document-names';
import { readManifest } from '../manifest-file';
import { stepsFrom } from '../source-blocks';
import { say } from '../../message';

/**
 * Index among the teacher's sublayers of each of the student's, by the manifests of the way on which
 * the student was made; one by one where it has none and both are of one shape.
 * @throws UserError where the student was not made from the teacher, or both are the same.
 */
export async function teacherPlaces(
  student: ModelSummary,
  teacher: ModelSummary,
): Promise<number[]> {
  if (student.fingerprint === teacher.fingerprint) {
    throw new UserError(say`${student.name} can't be its own teacher.`, {
      file: student.path,
      remedy: say`Name as teacher the model that it was compressed or pruned from.`,
    });
  }
  const steps = stepsFrom(teacher.fingerprint, await readManifest(student.path));
  let ids = teacher.sublayers.map(({ id }, place) => ({ id, place }));
  for (const { removed, sourceBlocks } of steps ?? []) {
    const gone = new Set(removed);
    ids = ids
      .filter(({ id }) => !gone.has(id))
      .map(({ id, place }) => ({
        id: id.replace(
          /^block\.(\d+)/,
          (_, block) => `block.${sourceBlocks.indexOf(Number(block))}`,
        ),
        place,
      }));
  }
  const fits =
    ids.length === student.sublayers.length &&
    ids.every(({ id }, i) => id === student.sublayers[i]?.id) &&
    student.hiddenSize === teacher.hiddenSize;
  if (!fits) {
    throw new UserError(say`${student.name} was not made from ${teacher.name}.`, {
      file: student.path,
      field: manifestName,
      remedy: say`Name as teacher the model that it was compressed or pruned from.`,
    });
  }
  return ids.map(({ place }) => place);
}
