import type { LayeredModel } from '../../models/layered-model';
import { idsIn } from '../../models/model-input';
import type { ModelInput } from '../../models/model-input';
import type { DeviceName } from '../../runtime/device';
import { leastMemory, stateBytesPerToken } from '../../runtime/memory-shares';

/**
 * Memory left for running a model if compressions are fitted to inputs, in bytes: the memory setting minus the states
 * before and after a sublayer and the Gram matrices. At least what the model needs to run.
 */
export function memoryBesideFitting(
  model: LayeredModel,
  memoryBytes: number,
  device: DeviceName,
  inputs: readonly ModelInput[],
): number {
  const states = inputs.reduce((sum, input) => sum + stateBytes(model, input), 0);
  const left = memoryBytes - 2 * states - gramBytes(model);
  return Math.max(leastMemory(model, device), left);
}

/** Bytes of Σ xᵀ·x of the widest layer in float64, as the total and as the sum of a run. */
export function gramBytes(model: LayeredModel): number {
  const widths = model.summary.sublayers.flatMap((_, index) =>
    model.sublayer(index).linearLayers.map((layer) => layer.in),
  );
  return 2 * Float64Array.BYTES_PER_ELEMENT * Math.max(0, ...widths) ** 2;
}

/** Estimated size of a state: about the size of the example if it isn't text. */
function stateBytes(model: LayeredModel, input: ModelInput): number {
  const ids = idsIn(input);
  return ids === undefined
    ? Object.values(input as Exclude<ModelInput, Int32Array>).reduce(
        (sum, { data }) => sum + data.byteLength,
        0,
      )
    : ids.length * stateBytesPerToken(model);
}
