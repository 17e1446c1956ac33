import { availableParallelism } from 'node:os';
import type { LayeredModel } from '../../models/layered-model';
import type { DeviceName } from '../../runtime/device';
import { leastMemory } from '../../runtime/memory-shares';
import { gramBytes } from '../statistics/fitting-memory';

/** Multiplications that take two cores a minute. */
const leastWork = 1e13;
/** Each runs all of the text to fit to through the model. */
const mostProcesses = 4;
/** The least that each gets of the memory, times what the model needs to run. */
const memoryOfEach = 2;

/**
 * How many processes of this machine save time in a sensitivity profile: decomposing and rounding matrices keep one core
 * of each busy. A device other than the CPU serves one process at a time.
 * @param work multiplications, as expected
 */
export function payingProcesses(
  model: LayeredModel,
  work: number,
  { device, memoryBytes }: { readonly device: DeviceName; readonly memoryBytes: number },
  cores = availableParallelism(),
): number {
  if (device !== 'cpu' || work < leastWork) {
    return 1;
  }
  const each = memoryOfEach * leastMemory(model, device) + gramBytes(model);
  const byMemory = Math.floor(memoryBytes / each);
  return Math.max(1, Math.min(cores, mostProcesses, byMemory));
}
