import type { LayeredModel } from '../../models/layered-model';
import { idsIn } from '../../models/model-input';
import type { ModelInput } from '../../models/model-input';
import type { DeviceName } from '../../runtime/device';
import { leastMemory, stateBytesPerToken } from '../../runtime/memory-shares';

/**
 * What of a memory setting is left to run a model in, in bytes, where compressions are fitted to inputs: beside their states on
 * both sides of a sublayer, and sums of products. At least what the model needs to run.
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

/** What Σ xᵀ·x of the widest layer takes in float64, once as it is and once as the sum of a run. */
export function gramBytes(model: LayeredModel): number {
  const widths = model.summary.sublayers.flatMap((_, index) =>
    model.sublayer(index).linearLayers.map((layer) => layer.in),
  );
  return 2 * Float64Array.BYTES_PER_ELEMENT * Math.max(0, ...widths) ** 2;
}

/** A state is about as large as the example it is of, where that is no text. */
function stateBytes(model: LayeredModel, input: ModelInput): number {
  const ids = idsIn(input);
  return ids === undefined
    ? Object.values(input as Exclude<ModelInput, Int32Array>).reduce(
        (sum, { data }) => sum + data.byteLength,
        0,
      )
    : ids.length * stateBytesPerToken(model);
}
