import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seededRandom, standardNormal } from '../../../extension/core/data/random';
import { storeEncodings } from '../../../extension/core/models/encodings/store-encodings';
import type { LinearLayer } from '../../../extension/core/models/matrix-encoding';
import type { InputStatistics } from '../../../extension/core/tensornet/statistics/statistics-accumulator';
import type { Rows } from '../../../extension/core/linear-algebra/matrix-source';
import { float32Data, transpose } from '../../../extension/core/tensornet/tensor-values';

/** A matrix of numbers from the standard normal distribution. */
export function randomRows(count: number, length: number, seed: number): Rows {
  const random = seededRandom(seed);
  const numbers = Float32Array.from({ length: count * length }, () => standardNormal(random));
  return { count, length, numbers };
}

/** Runs `use` with a linear layer whose weight is in a separate file. */
export async function withLayer<T>(
  matrix: Rows,
  use: (layer: LinearLayer) => Promise<T>,
  transposed = false,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'espalier-matrix-'));
  try {
    const { count: out, length: inputs } = matrix;
    const weight = transposed
      ? float32Data([inputs, out], transpose(matrix))
      : float32Data([out, inputs], matrix.numbers);
    const forms = await storeEncodings(
      join(folder, 'weights.safetensors'),
      new Map([['layer', { kind: 'dense', weight }]]),
    );
    const form = forms.get('layer');
    if (form?.kind !== 'dense') {
      throw new Error('the weight has not been stored');
    }
    return await use({
      id: 'layer',
      sublayer: 0,
      role: 'other',
      out,
      in: inputs,
      weight: form.weight,
      transposed,
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Statistics of rows of inputs, in plain float64. */
export function computeStatistics({ count, length, numbers }: Rows): InputStatistics {
  const gram = new Float64Array(length * length);
  const meanMagnitudes = new Float64Array(length);
  for (let row = 0; row < count; row++) {
    const x = numbers.subarray(row * length, (row + 1) * length);
    for (let i = 0; i < length; i++) {
      meanMagnitudes[i] = (meanMagnitudes[i] ?? 0) + Math.abs(x[i] ?? 0) / count;
      for (let j = 0; j < length; j++) {
        gram[i * length + j] = (gram[i * length + j] ?? 0) + (x[i] ?? 0) * (x[j] ?? 0);
      }
    }
  }
  return { count, gram: { size: length, numbers: gram }, meanMagnitudes };
}

/** Correlated rows: `count` linear combinations of `sources` independent ones, of very different size. */
export function correlatedRows(count: number, length: number, sources: number, seed: number): Rows {
  const [independent, mixing] = [
    randomRows(count, sources, seed),
    randomRows(sources, length, seed + 1),
  ];
  const numbers = new Float32Array(count * length);
  for (let row = 0; row < count; row++) {
    for (let source = 0; source < sources; source++) {
      const amount = (independent.numbers[row * sources + source] ?? 0) / (source + 1);
      for (let i = 0; i < length; i++) {
        const at = row * length + i;
        numbers[at] = (numbers[at] ?? 0) + amount * (mixing.numbers[source * length + i] ?? 0);
      }
    }
  }
  return { count, length, numbers };
}

/** ‖X·(A − B)ᵀ‖ in float64, X being rows of inputs. */
export function outputDistance(inputs: Rows, a: Rows, b: Rows): number {
  let squares = 0;
  for (let row = 0; row < inputs.count; row++) {
    for (let o = 0; o < a.count; o++) {
      let sum = 0;
      for (let i = 0; i < a.length; i++) {
        const delta = (a.numbers[o * a.length + i] ?? 0) - (b.numbers[o * a.length + i] ?? 0);
        sum += (inputs.numbers[row * inputs.length + i] ?? 0) * delta;
      }
      squares += sum * sum;
    }
  }
  return Math.sqrt(squares);
}
