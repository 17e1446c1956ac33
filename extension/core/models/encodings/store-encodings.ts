import { open, realpath } from 'node:fs/promises';
import { dirname, join, basename } from 'node:path';
import { elementCount } from '../../checkpoints/lazy-tensor';
import type { LazyTensor, TensorData } from '../../checkpoints/lazy-tensor';
import { encodeHeader } from '../../checkpoints/safetensors';
import { replaceFile, onPath } from '../../jobs/write-document';
import type { MatrixEncoding } from '../matrix-encoding';
import { mapTensors } from './encoding-facts';

/** Tensor whose values are computed on demand. */
export interface ComputedTensor extends Pick<
  LazyTensor,
  'name' | 'dtype' | 'shape' | 'length' | 'inline'
> {
  readonly bytes: () => Promise<Uint8Array>;
}

/**
 * Writes encodings by layer id into a safetensors file, and returns them with tensors in that file. An encoding shared
 * by two layers is stored once and remains shared. Tensors are named `<id>.<part>`. One tensor is in memory at a time.
 * @param computed computes an encoding's tensors
 */
export async function storeComputedEncodings<T>(
  path: string,
  forms: ReadonlyMap<string, MatrixEncoding<T>>,
  computed: (tensor: T) => Omit<ComputedTensor, 'name'>,
): Promise<Map<string, MatrixEncoding>> {
  const tensors: ComputedTensor[] = [];
  const owners = new Map<MatrixEncoding<T>, string>();
  for (const [id, form] of forms) {
    if (!owners.has(form)) {
      owners.set(form, id);
      mapTensors(form, (tensor, part) =>
        tensors.push({ ...computed(tensor), name: `${id}.${part}` }),
      );
    }
  }
  const stored = await storeComputed(path, tensors);
  const found = new Map<unknown, MatrixEncoding>();
  for (const [form, id] of owners) {
    const storedInFile = mapTensors(form, (_, part) => {
      const tensor = stored.get(`${id}.${part}`);
      if (tensor === undefined) {
        throw new Error(`${id}.${part} has not been written`);
      }
      return tensor;
    });
    found.set(form, storedInFile);
  }
  return new Map(
    [...forms].flatMap(([id, form]) => {
      const storedInFile = found.get(form);
      return storedInFile === undefined ? [] : [[id, storedInFile]];
    }),
  );
}

/** Stores encodings with computed values; see {@link storeComputedEncodings}. */
export const storeEncodings = async (
  path: string,
  forms: ReadonlyMap<string, MatrixEncoding<TensorData>>,
): Promise<Map<string, MatrixEncoding>> => storeComputedEncodings(path, forms, asComputed);

const asComputed = ({ dtype, shape, bytes }: TensorData): Omit<ComputedTensor, 'name'> => ({
  ...{ dtype, shape, length: bytes.length },
  bytes: () => Promise.resolve(bytes),
});

/** Writes tensors into a safetensors file, and returns them as tensors in that file. */
export const storeTensors = async (
  path: string,
  tensors: readonly { readonly name: string; readonly data: TensorData }[],
): Promise<Map<string, LazyTensor>> =>
  storeComputed(
    path,
    tensors.map(({ name, data }) => ({ ...asComputed(data), name })),
  );

/** Like {@link storeTensors}, with one tensor in memory at a time. */
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
