import { mkdir, open, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { withRegularFile } from '../../checkpoints/regular-file';
import { openSafetensors } from '../../checkpoints/safetensors';
import { encodeHeader } from '../../checkpoints/safetensors-header';
import { replaceFile } from '../../jobs/replace-file';
import { UserError } from '../../user-error';
import type { SquareMatrix } from '../../linear-algebra/small-matrix';
import type { InputStatistics } from './input-statistics';

/** Key of a file's metadata. */
const metadataKey = 'espalier.statistics';
const metadataSchema = v.object({
  identity: v.string(),
  /** Rows seen, and which layers these are the inputs of. */
  inputs: v.array(v.object({ count: v.number(), layers: v.array(v.string()) })),
});
const bytesPerNumber = Float64Array.BYTES_PER_ELEMENT;
/** Bytes of one call to read or write; the system's limit is 2 GiB. */
const bytesPerCall = 1 << 28;

/**
 * Statistics of linear layers' inputs as files, one for each sublayer: the lower triangles of their
 * Gram matrices in float64, so that a job that goes on has the very numbers of the one that stopped.
 */
export class StatisticsFolder {
  /** @param identity tells model and calibration; files of others are not read. */
  public constructor(
    private readonly path: string,
    private readonly identity: string,
  ) {}

  /** @throws UserError when the folder cannot be written to. */
  public async write(
    sublayer: number,
    statistics: ReadonlyMap<string, InputStatistics>,
  ): Promise<void> {
    const layers = new Map<InputStatistics, string[]>();
    for (const [id, one] of statistics) {
      layers.set(one, [...(layers.get(one) ?? []), id]);
    }
    const inputs = [...layers].map(([{ count }, ids]) => ({ count, layers: ids }));
    const arrays = [...layers.keys()].flatMap(({ gram, meanMagnitudes }) => [
      lowerTriangle(gram),
      meanMagnitudes,
    ]);
    const header = encodeHeader(
      arrays.map((numbers, i) => ({
        name: nameOf(i),
        tensor: { dtype: 'F64', shape: [numbers.length], length: numbers.byteLength },
      })),
      { [metadataKey]: JSON.stringify({ identity: this.identity, inputs }) },
    );
    try {
      await mkdir(this.path, { recursive: true });
      await replaceFile(this.fileOf(sublayer), async (partial) => {
        const handle = await open(partial, 'w');
        try {
          await handle.writeFile(header);
          for (const numbers of arrays) {
            await writeNumbers(handle, numbers);
          }
        } finally {
          await handle.close();
        }
      });
    } catch (error) {
      throw new UserError(`Calibration statistics cannot be kept: ${(error as Error).message}.`, {
        file: this.path,
        remedy: 'Choose an output in a folder that can be written to, with space left.',
      });
    }
  }

  /** What was written for a sublayer, or undefined where there is none of this model and calibration. */
  public async read(sublayer: number): Promise<Map<string, InputStatistics> | undefined> {
    const file = this.fileOf(sublayer);
    const checkpoint = await openSafetensors(file).catch(() => undefined);
    const metadata = parseMetadata(checkpoint?.metadata[metadataKey]);
    if (checkpoint === undefined || metadata?.identity !== this.identity) {
      return undefined;
    }
    const found = new Map<string, InputStatistics>();
    for (const [i, { count, layers }] of metadata.inputs.entries()) {
      const [triangle, meanMagnitudes] = [
        await readNumbers(checkpoint.tensors.get(nameOf(2 * i))),
        await readNumbers(checkpoint.tensors.get(nameOf(2 * i + 1))),
      ];
      const size = meanMagnitudes.length;
      const statistics = { count, gram: fromTriangle(triangle, size), meanMagnitudes };
      for (const id of layers) {
        found.set(id, statistics);
      }
    }
    return found;
  }

  public async remove(): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }

  private fileOf(sublayer: number): string {
    return join(this.path, `${sublayer}.safetensors`);
  }
}

function nameOf(index: number): string {
  return `${index}`;
}

function parseMetadata(text: string | undefined): v.InferOutput<typeof metadataSchema> | undefined {
  try {
    return v.parse(metadataSchema, JSON.parse(text ?? ''));
  } catch {
    return undefined;
  }
}

function lowerTriangle({ size, numbers }: SquareMatrix): Float64Array {
  const triangle = new Float64Array((size * (size + 1)) / 2);
  for (let row = 0, at = 0; row < size; row++) {
    triangle.set(numbers.subarray(row * size, row * size + row + 1), at);
    at += row + 1;
  }
  return triangle;
}

function fromTriangle(triangle: Float64Array, size: number): SquareMatrix {
  const numbers = new Float64Array(size * size);
  for (let row = 0, at = 0; row < size; row++) {
    for (let column = 0; column <= row; column++) {
      const x = triangle[at++] ?? 0;
      numbers[row * size + column] = x;
      numbers[column * size + row] = x;
    }
  }
  return { size, numbers };
}

async function writeNumbers(handle: FileHandle, numbers: Float64Array): Promise<void> {
  const bytes = new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
  for (let start = 0; start < bytes.length; start += bytesPerCall) {
    await handle.writeFile(bytes.subarray(start, start + bytesPerCall));
  }
}

async function readNumbers(tensor: LazyTensor | undefined): Promise<Float64Array> {
  if (tensor === undefined) {
    return new Float64Array();
  }
  const { file, offset, length } = tensor;
  const numbers = new Float64Array(length / bytesPerNumber);
  const bytes = new Uint8Array(numbers.buffer);
  await withRegularFile(file, async ({ handle }) => {
    for (let start = 0; start < length; start += bytesPerCall) {
      const count = Math.min(bytesPerCall, length - start);
      await handle.read(bytes, start, count, offset + start);
    }
  });
  return numbers;
}
