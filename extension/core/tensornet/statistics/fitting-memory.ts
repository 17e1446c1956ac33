import type { LinearLayer, LinearRole } from '../../models/matrix-encoding';
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
  const left = memoryBytes - 2 * states - gramBytes(model, gramRoom(memoryBytes));
  return Math.max(leastMemory(model, device), left);
}

/** Share of the memory setting for the Gram matrices that are in memory together. */
const gramShare = 0.25;

/** Bytes for the Gram matrices that are in memory together. */
export const gramRoom = (memoryBytes: number): number => gramShare * memoryBytes;

/**
 * Bytes of Σ xᵀ·x in float64: the sums of the inputs that are collected together, and the product of a run. Each expert has
 * inputs of its own.
 * @param room see {@link gramGroups}
 */
export function gramBytes(model: LayeredModel, room: number): number {
  const groups = model.summary.sublayers.flatMap((_, index) =>
    gramGroups(model.sublayer(index).linearLayers, room),
  );
  return Math.max(0, ...groups.map(({ bytes }) => bytes));
}

/** Linear layers whose Gram matrices are collected in one run. */
export interface GramGroup {
  readonly ids: ReadonlySet<string>;
  readonly bytes: number;
}

/**
 * Divides the linear layers of a sublayer into groups whose Gram matrices fit in `room` bytes, in order. Layers that share
 * their inputs are in one group, which may be larger if they are alone.
 */
export function gramGroups(
  layers: readonly Pick<LinearLayer, 'id' | 'in' | 'expert' | 'role'>[],
  room: number,
): readonly GramGroup[] {
  // Layers of one expert, or of none, share their inputs, except those that read the outputs of others.
  const inputs = new Map<string, { readonly width: number; readonly ids: string[] }>();
  for (const { id, in: width, expert, role } of layers) {
    const key = `${expert?.index} ${width} ${readsOutputs.has(role)}`;
    const known = inputs.get(key) ?? { width, ids: [] };
    known.ids.push(id);
    inputs.set(key, known);
  }
  const groups: { ids: Set<string>; bytes: number }[] = [];
  let [widest, numbers] = [0, 0];
  for (const { width, ids } of inputs.values()) {
    const group = groups.at(-1);
    const more = numbers + width ** 2;
    const bytes = Float64Array.BYTES_PER_ELEMENT * (more + Math.max(widest, width) ** 2);
    if (group === undefined || bytes > room) {
      [widest, numbers] = [width, width ** 2];
      groups.push({ ids: new Set(ids), bytes: 2 * Float64Array.BYTES_PER_ELEMENT * numbers });
    } else {
      [widest, numbers] = [Math.max(widest, width), more];
      for (const id of ids) group.ids.add(id);
      group.bytes = bytes;
    }
  }
  return groups;
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
