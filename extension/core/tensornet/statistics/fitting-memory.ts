import type { LinearLayer, LinearRole } from '../../models/matrix-encoding';
import type { LayeredModel } from '../../models/layered-model';
import { idsIn } from '../../models/model-input';
import type { ModelInput } from '../../models/model-input';
import type { DeviceName } from '../../runtime/device';
import { leastMemory, stateBytesPerToken } from '../../runtime/memory-shares';

/**
 * Memory left for running a model if compressions are fitted to inputs, in bytes: the memory setting minus the states
 * before and after a sublayer and the Gram matrices. At least what the model needs to run.
 * @param comparesInputs true if the states of the original model pass along
 */
export function memoryBesideFitting(
  model: LayeredModel,
  memoryBytes: number,
  device: DeviceName,
  inputs: readonly ModelInput[],
  comparesInputs = false,
): number {
  const states = inputs.reduce((sum, input) => sum + stateBytes(model, input), 0);
  const copies = comparesInputs ? 4 : 2;
  const sums = gramBytes(model, gramRoom(memoryBytes), comparesInputs);
  const left = memoryBytes - copies * states - sums;
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
export function gramBytes(model: LayeredModel, room: number, comparesInputs = false): number {
  const groups = model.summary.sublayers.flatMap((_, index) =>
    gramGroups(model.sublayer(index).linearLayers, room, comparesInputs),
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
 * @param comparesInputs true to count the sums of differences to the original model's inputs too, if no layer is an
 *   expert's
 */
export function gramGroups(
  layers: readonly Pick<LinearLayer, 'id' | 'in' | 'out' | 'expert' | 'role' | 'addsToStream'>[],
  room: number,
  comparesInputs = false,
): readonly GramGroup[] {
  const isCompared = comparesInputs && areComparable(layers);
  // Layers of one expert, or of none, share their inputs, except those that read the outputs of others.
  const inputs = new Map<string, { width: number; bytes: number; readonly ids: string[] }>();
  for (const { id, in: width, out, expert, role, addsToStream = false } of layers) {
    const key = `${expert?.index} ${width} ${readsOutputs.has(role)}`;
    const sums = Float64Array.BYTES_PER_ELEMENT * width ** 2;
    const known = inputs.get(key) ?? { width, bytes: isCompared ? 1.5 * sums : sums, ids: [] };
    if (isCompared && addsToStream) {
      known.bytes += Float32Array.BYTES_PER_ELEMENT * width * out;
    }
    known.ids.push(id);
    inputs.set(key, known);
  }
  const groups: { ids: Set<string>; bytes: number }[] = [];
  let [widest, kept] = [0, 0];
  for (const { width, bytes, ids } of inputs.values()) {
    const group = groups.at(-1);
    const withProduct = (most: number, sums: number): number =>
      sums + Float64Array.BYTES_PER_ELEMENT * most ** 2;
    const joined = withProduct(Math.max(widest, width), kept + bytes);
    if (group === undefined || joined > room) {
      [widest, kept] = [width, bytes];
      groups.push({ ids: new Set(ids), bytes: withProduct(width, bytes) });
    } else {
      [widest, kept] = [Math.max(widest, width), kept + bytes];
      for (const id of ids) group.ids.add(id);
      group.bytes = joined;
    }
  }
  return groups;
}

/** True if the rows of a sublayer's linear layers are those of its states, and not those sent to experts. */
export const areComparable = (layers: readonly Pick<LinearLayer, 'expert'>[]): boolean =>
  layers.every(({ expert }) => expert === undefined);

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
