import type { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import type { HiddenState } from '../../../extension/core/runtime/tensors';

/** Final states of the whole model and of the model without each of its first three sublayers. */
export async function finalStates(
  executor: LayeredExecutor,
  ids: Int32Array,
): Promise<readonly [original: HiddenState, ...candidates: HiddenState[]]> {
  const count = executor.model.summary.sublayers.length;
  const ends: HiddenState[] = [];
  for (const without of [-1, 0, 1, 2]) {
    let state = await executor.embed(ids);
    for (let index = 0; index < count; index++) {
      const [next = state] = await executor.pass(index, [state], new Set([without]));
      state = next;
    }
    ends.push(state);
  }
  const [original, ...candidates] = ends;
  if (original === undefined) throw new Error('no state');
  return [original, ...candidates];
}
