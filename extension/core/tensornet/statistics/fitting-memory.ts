import type { LinearRole } from '../../models/matrix-encoding';
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

/**
 * Bytes of Σ xᵀ·x in float64: all sums of the sublayer with the largest ones, and the product of a run. Each expert has
 * inputs of its own.
 */
export function gramBytes(model: LayeredModel): number {
  const sizes = model.summary.sublayers.map((_, index) => {
    const { linearLayers } = model.sublayer(index);
    // Layers of one expert, or of none, share their inputs, except those that read the outputs of others.
    const inputs = new Map(
      linearLayers.map((layer) => {
        const { in: width, expert, role } = layer;
        return [`${expert?.index} ${width} ${readsOutputs.has(role)}`, width] as const;
      }),
    );
    const widths = [...inputs.values(), Math.max(0, ...inputs.values())];
    return widths.reduce((sum, width) => sum + width ** 2, 0);
  });
  return Float64Array.BYTES_PER_ELEMENT * Math.max(0, ...sizes);
}

/** Roles of layers whose inputs are computed from the outputs of other layers of the sublayer. */
const readsOutputs: ReadonlySet<LinearRole> = new Set(['output', 'down']);

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
