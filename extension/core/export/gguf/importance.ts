import { readGgufHeader } from '../../checkpoints/gguf';
import { readFloats } from '../../checkpoints/read-tensor';
import { UserError } from '../../user-error';
import { ByteCopier } from '../byte-copier';
import type { Changes } from '../changes';
import type { JobContext } from '../../jobs/job';
import { replaceFile, onPath } from '../../jobs/write-document';
import type { GgufTensor } from './gguf-tensors';
import { layOutGguf, writeGguf } from './gguf-writer';
import { headerEntry } from './header-entries';
import { say } from '../../message';

/** Mean square of each input of a matrix, by its name in GGUF files: float32 [in], of experts' [count · in]. */
export type Importance = ReadonlyMap<string, Float32Array>;

/** Model and text from which an importance matrix was computed. */
export interface ImportanceSource {
  readonly texts: readonly string[];
  readonly sequences: number;
  /** Tokens of each. */
  readonly length: number;
}

/**
 * Importance of a tensor from an importance matrix of the original, without the removed experts.
 * @param tensor with its name in a file of the original and its shape in the result
 */
export function tensorImportance(
  importance: Importance | undefined,
  { name, shape }: { readonly name: string; readonly shape: readonly number[] },
  { remainingExperts }: Pick<Changes, 'remainingExperts'>,
): Float32Array | undefined {
  const numbers = importance?.get(name);
  const [, block = ''] = /^blk\.(\d+)\./.exec(name) ?? [];
  const remaining = shape.length > 2 ? remainingExperts.get(`block.${block}.expert`) : undefined;
  const length = shape.at(-1) ?? 1;
  if (
    numbers === undefined ||
    remaining === undefined ||
    remaining.length * length >= numbers.length
  ) {
    return numbers;
  }
  const parts = remaining.map((expert) => numbers.subarray(expert * length, (expert + 1) * length));
  return Float32Array.from(parts.flatMap((part) => [...part]));
}

const sumSuffix = '.in_sum2';
const countSuffix = '.counts';
const maxInputs = 1 << 24;
const maxExperts = 1 << 16;

/**
 * Reads a llama.cpp importance matrix in GGUF format.
 * @throws UserError if the file is not one, or has non-finite values
 */
export async function readImportance(path: string): Promise<Importance> {
  const { metadata, tensors } = await readGgufHeader(path);
  if (metadata.get('general.type') !== 'imatrix') {
    throw new UserError('importance-file-invalid', say`The file is not an importance matrix.`, {
      file: path,
      field: 'general.type',
      remedy: say`Make one with espalier imatrix, or with llama-imatrix and a .gguf name.`,
    });
  }
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const importance = new Map<string, Float32Array>();
  for (const tensor of tensors.filter(({ name }) => name.endsWith(sumSuffix))) {
    const name = tensor.name.slice(0, -sumSuffix.length);
    const counts = byName.get(`${name}${countSuffix}`);
    // MoE layers have one row per expert.
    if (counts !== undefined) {
      const rows = await readFloats(counts, maxExperts);
      const sums = await readFloats(tensor, maxInputs);
      const length = sums.length / rows.length;
      const means = Float32Array.from(sums, (sum, i) => {
        const count = rows[Math.floor(i / length)] ?? 0;
        return count > 0 ? sum / count : 1;
      });
      if (!means.every(Number.isFinite)) {
        throw new UserError('importance-not-finite', say`Its values are not finite.`, {
          file: path,
          field: tensor.name,
          remedy: say`Make the importance matrix again.`,
        });
      }
      importance.set(name, means);
    }
  }
  return importance;
}

/**
 * Σ x² of each input of a matrix, or of each expert's inputs in order, and the number of rows
 * summed.
 */
export interface InputSums {
  readonly sums: Float32Array;
  readonly counts: readonly number[];
}

/**
 * Writes an importance matrix as llama.cpp reads it, names in order.
 * @throws UserError if the file cannot be written.
 */
export async function writeImportance(
  path: string,
  inputs: ReadonlyMap<string, InputSums>,
  { texts, sequences, length }: ImportanceSource,
  context: JobContext,
): Promise<void> {
  const tensors = [...inputs]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([name, { sums, counts }]) => [
      floats(`${name}${sumSuffix}`, [counts.length, sums.length / counts.length], sums),
      floats(`${name}${countSuffix}`, [counts.length, 1], Float32Array.from(counts)),
    ]);
  const entries = [
    headerEntry.text('general.type', 'imatrix'),
    headerEntry.texts('imatrix.datasets', texts),
    headerEntry.integer('imatrix.chunk_count', sequences),
    headerEntry.integer('imatrix.chunk_size', length),
  ];
  const plan = layOutGguf(entries, tensors, { version: 3, alignment: 32 });
  const copier = new ByteCopier(plan.bytes, context);
  try {
    await onPath(path, async () =>
      replaceFile(path, async (partial) => writeGguf(partial, plan, copier)),
    );
  } finally {
    await copier.close();
  }
}

function floats(name: string, shape: readonly number[], numbers: Float32Array): GgufTensor {
  const bytes = new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
  return { name, shape, type: 'F32', length: bytes.length, source: { kind: 'given', bytes } };
}
