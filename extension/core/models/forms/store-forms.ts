import { open, realpath } from 'node:fs/promises';
import { dirname, join, basename } from 'node:path';
import { elementCount } from '../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { encodeHeader } from '../../checkpoints/safetensors-header';
import type { TensorData } from '../../checkpoints/tensor-data';
import { replaceFile } from '../../jobs/replace-file';
import { onPath } from '../../jobs/write-errors';
import type { MatrixEncoding } from '../matrix-encoding';
import { mapTensors } from './form-facts';

/**
 * Writes forms that have just been computed, by the ids of their layers, into a safetensors file, and
 * gives them back as they lie there: one form of two layers is stored once and stays one. Names are `<id>.<part>`.
 */
export async function storeForms(
  path: string,
  forms: ReadonlyMap<string, MatrixEncoding<TensorData>>,
): Promise<Map<string, MatrixEncoding>> {
  const tensors: { name: string; data: TensorData }[] = [];
  const owners = new Map<MatrixEncoding<TensorData>, string>();
  for (const [id, form] of forms) {
    if (!owners.has(form)) {
      owners.set(form, id);
      mapTensors(form, (data, part) => tensors.push({ name: `${id}.${part}`, data }));
    }
  }
  const stored = await storeTensors(path, tensors);
  const found = new Map<unknown, MatrixEncoding>();
  for (const [form, id] of owners) {
    const inFile = mapTensors(form, (_, part) => {
      const tensor = stored.get(`${id}.${part}`);
      if (tensor === undefined) {
        throw new Error(`${id}.${part} has not been written`);
      }
      return tensor;
    });
    found.set(form, inFile);
  }
  return new Map(
    [...forms].flatMap(([id, form]) => {
      const inFile = found.get(form);
      return inFile === undefined ? [] : [[id, inFile]];
    }),
  );
}

/** A tensor that is computed when its turn comes. */
export interface ComputedTensor extends Pick<
  LazyTensor,
  'name' | 'dtype' | 'shape' | 'length' | 'inline'
> {
  readonly bytes: () => Promise<Uint8Array>;
}

/** Writes tensors into a safetensors file, and gives them back as they lie there. */
export async function storeTensors(
  path: string,
  tensors: readonly { readonly name: string; readonly data: TensorData }[],
): Promise<Map<string, LazyTensor>> {
  return storeComputed(
    path,
    tensors.map(({ name, data: { dtype, shape, bytes } }) => ({
      ...{ name, dtype, shape, length: bytes.length },
      bytes: () => Promise.resolve(bytes),
    })),
  );
}

/** The same, with one tensor in memory at a time. */
export async function storeComputed(
  path: string,
  tensors: readonly ComputedTensor[],
): Promise<Map<string, LazyTensor>> {
  // Numbers of several bytes first, so that each begins at a multiple of its size.
  const sorted = [...tensors].sort((a, b) => elementBytes(b) - elementBytes(a));
  const header = encodeHeader(
    sorted.map((tensor) => ({ name: tensor.name, tensor })),
    { format: 'pt' },
  );
  const write = async (partial: string): Promise<void> => {
    const handle = await open(partial, 'w');
    try {
      await handle.writeFile(header);
      for (const { bytes } of sorted) {
        await handle.writeFile(await bytes());
      }
    } finally {
      await handle.close();
    }
  };
  await onPath(path, async () => replaceFile(path, write));
  const file = join(await realpath(dirname(path)), basename(path));
  const stored = new Map<string, LazyTensor>();
  let offset = header.length;
  for (const { name, dtype, shape, length } of sorted) {
    stored.set(name, { name, dtype, shape, length, file, offset });
    offset += length;
  }
  return stored;
}

function elementBytes({ shape, length }: Pick<LazyTensor, 'shape' | 'length'>): number {
  return length / Math.max(1, elementCount(shape));
}
