import type { AfterRun } from '../metrics/row-readout';
import type { LayeredExecutor } from '../runtime/layered-executor';
import type { HiddenState } from '../runtime/tensors';

/**
 * Runs states through sublayer `index`, each with its own removed units.
 * @param skips removed units of each state's model
 */
export async function walkThrough(
  executor: LayeredExecutor,
  index: number,
  states: readonly HiddenState[],
  skips: readonly ReadonlySet<number>[],
  afterRun: AfterRun,
): Promise<HiddenState[]> {
  const isMoving = skips.map((skip) => !skip.has(index));
  const without = skips
    .filter((_, i) => isMoving[i])
    .map((skip) => executor.units.expertsGone(index, skip));
  const moving = states.filter((_, i) => isMoving[i]);
  const moved = await executor.run(index, moving, afterRun, without);
  const resting = states.filter((_, i) => isMoving[i] !== true);
  const rested = await executor.skip(index, resting, afterRun).catch((error: unknown) => {
    executor.states.release(...moved);
    throw error;
  });
  const [nextMoved, nextRested] = [moved.values(), rested.values()];
  return isMoving.map((moves) => {
    const { value } = (moves ? nextMoved : nextRested).next();
    if (value === undefined) {
      throw new Error(`sublayer ${index} gave fewer states than it took`);
    }
    return value;
  });
}
