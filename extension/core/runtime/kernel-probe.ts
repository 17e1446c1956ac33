import type { ModelInput } from '../models/model-input';
import type { LayeredExecutor } from './layered-executor';
import { floatsIn } from './tensors';

/** Tokens of a text that are run. */
const mostTokens = 16;
/** Number of compared values. */
const mostNumbers = 512;

/**
 * Values of a model's final state for the start of an input, which differ between processors with different kernels.
 */
export async function kernelProbe(
  executor: LayeredExecutor,
  input: ModelInput = new Int32Array(1),
): Promise<readonly number[]> {
  let state = await executor.embed(
    input instanceof Int32Array ? Int32Array.from(input).slice(0, mostTokens) : input,
  );
  for (const index of executor.model.summary.sublayers.keys()) {
    [state = state] = await executor.run(index, [state]);
  }
  const numbers = Object.values(state.values).flatMap((tensor) =>
    tensor.type.startsWith('float') ? [...floatsIn(tensor)] : [],
  );
  const step = Math.max(1, Math.ceil(numbers.length / mostNumbers));
  return numbers.filter((_, i) => i % step === 0);
}
