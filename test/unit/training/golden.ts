import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tensor } from 'onnxruntime-node';
import { openSafetensors } from '../../../extension/core/checkpoints/safetensors';
import type { Tensors } from '../../../extension/core/runtime/tensors';
import type { Mode, TrainableModel } from '../../../extension/core/training/trainable-model';

const folder = join(import.meta.dirname, '../../fixtures/training');

export const trainingFixture = (name: string): string => join(folder, name);

/** Tensors of a golden file by name. */
export async function readGolden(name: string): Promise<Tensors> {
  const path = trainingFixture(`${name}.safetensors`);
  const { tensors } = await openSafetensors(path);
  const bytes = readFileSync(path);
  return Object.fromEntries(
    [...tensors].map(([key, { dtype, shape, offset, length }]) => {
      const own = bytes.buffer.slice(bytes.byteOffset + offset, bytes.byteOffset + offset + length);
      const tensor =
        dtype === 'I64'
          ? new Tensor('int64', new BigInt64Array(own), shape)
          : new Tensor('float32', new Float32Array(own), shape);
      return [key, tensor] as const;
    }),
  );
}

/** The tensors below `prefix`, by the rest of their names. */
export function below(tensors: Tensors, prefix: string): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(tensors).flatMap(([key, tensor]) =>
      key.startsWith(prefix) ? [[key.slice(prefix.length), tensor] as const] : [],
    ),
  );
}

/** The same model beginning with other parameters. */
export function startingFrom(model: TrainableModel, values: Tensors): TrainableModel {
  return {
    parameters: model.parameters,
    buffers: model.buffers,
    inputs: model.inputs,
    forward: (mode: Mode) => model.forward(mode),
    initial: async () =>
      Promise.resolve(
        Object.fromEntries(
          Object.entries(values).map(([name, tensor]) => [
            name,
            new Tensor('float32', Float32Array.from(tensor.data as Float32Array), tensor.dims),
          ]),
        ),
      ),
  };
}

export function largestValue(tensor: Tensor | undefined): number {
  const numbers = (tensor?.data ?? []) as Float32Array;
  return numbers.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

/** max |a − b| / max(max |b|, floor) */
export function difference(actual: Tensor, expected: Tensor, floor: number): number {
  const [a, b] = [actual.data as Float32Array, expected.data as Float32Array];
  if (a.length !== b.length) {
    return Number.POSITIVE_INFINITY;
  }
  const scale = Math.max(floor, largestValue(expected));
  return a.reduce((most, value, i) => {
    const error = Math.abs(value - (b[i] ?? Number.NaN)) / scale;
    return error > most || Number.isNaN(error) ? error : most;
  }, 0);
}
