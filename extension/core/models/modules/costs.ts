import { elementCount } from '../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import {
  encodingFlops,
  encodingMemory,
  encodingWeights,
  needsRepacking,
} from '../encodings/encoding-facts';
import type { Linear } from '../parts/linear';
import { storedTensors } from '../transformer/part-tensors';
import type { RunningCosts } from '../transformer/tapped-part';

/** Costs of a session over tensors that are stored as floats, which are widened to float32, and over encoded linear layers. */
export function runningCosts(
  stored: readonly LazyTensor[],
  linears: readonly Linear[],
): RunningCosts {
  const floatBytes = (tensors: readonly LazyTensor[]): number =>
    tensors.reduce(
      (sum, { shape }) => sum + elementCount(shape) * Float32Array.BYTES_PER_ELEMENT,
      0,
    );
  const forms = linears.flatMap(({ encoding }) => encoding ?? []);
  return {
    bytes: forms.reduce((sum, form) => sum + encodingMemory(form), floatBytes(stored)),
    mappedBytes: floatBytes(stored.filter(isMapped)),
    needsPrepacking: forms.some(needsRepacking),
  };
}

/** Costs of an embedding table whose rows are read from the mapped file, unless it must be unpacked first. */
export function lookupCosts(table: Linear): RunningCosts {
  const costs = runningCosts(storedTensors(table), [table]);
  return table.encoding === undefined && table.weight.packed !== undefined
    ? costs
    : { ...costs, mappedBytes: costs.bytes };
}

/** True if ONNX Runtime reads the tensor from its file. */
function isMapped({ dtype, packed, interleavedHeads }: LazyTensor): boolean {
  return dtype === 'F32' && packed === undefined && interleavedHeads === undefined;
}

/** Returns the number of weights that a tensor of these layers represents. */
export function weightCounter(linears: readonly Linear[]): (tensor: LazyTensor) => number {
  const encodedCounts = new Map(
    linears.flatMap(({ encoding }) => [...((encoding && encodingWeights(encoding)) ?? [])]),
  );
  return (tensor) => encodedCounts.get(tensor) ?? elementCount(tensor.shape);
}

/** FLOPs per row of these layers; a multiply-add counts as two. */
export const linearFlops = (linears: readonly Linear[]): number =>
  linears.reduce(
    (sum, { weight, encoding }) =>
      sum + (encoding === undefined ? 2 * elementCount(weight.shape) : encodingFlops(encoding)),
    0,
  );
