import { runnableDTypes } from '../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { UserError } from '../../user-error';
import { say } from '../../message';

/** @throws UserError naming the first tensor whose dtype can be listed but not run. */
export function requireRunnableTensors(used: readonly LazyTensor[]): void {
  const faulty = used.find(({ dtype }) => !runnableDTypes.has(dtype));
  if (faulty !== undefined) {
    throw new UserError(say`Weights of dtype ${faulty.dtype} can be listed but not run.`, {
      file: faulty.file,
      field: faulty.name,
      remedy: say`Save the model in one of ${[...runnableDTypes].join(', ')}.`,
    });
  }
}
