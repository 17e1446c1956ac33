import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TensorData } from '../../checkpoints/lazy-tensor';
import { seededRandom, standardNormal } from '../../data/random';
import type { Random } from '../../data/random';
import { emitEncoding } from '../../models/encodings/emit-encoding';
import { storeEncodings } from '../../models/encodings/store-encodings';
import type { MatrixEncoding } from '../../models/matrix-encoding';
import { DataType, GraphBuilder } from '../../onnx/graph-builder';
import type { DeviceName } from '../../runtime/device';
import { createSession } from '../../runtime/session';
import { floatTensor } from '../../runtime/tensors';
import { bondSizes, factorize } from '../mpo';
import { float32Data, int8Data, uint8Data } from '../tensor-values';
import { encodingWork } from './kernels';
import type { Sample } from './kernels';
import { mapTensors } from '../../models/encodings/encoding-facts';

/** Sizes to time. */
export interface CostSizes {
  /** Inputs and outputs of the matrices. */
  readonly widths: readonly number[];
  readonly rowCounts: readonly number[];
}

const defaultSizes: CostSizes = { widths: [256, 768, 2048], rowCounts: [1, 16, 128] };
const bonds = [8, 32];
const sites = 3;
const groupSize = 32;
/** Bytes of weights read by a timed graph: more than the CPU caches hold, as in a model. */
const bytesPerGraph = 1 << 26;
const mostCopies = 16;
/** Multiply-adds of one run: short runs are disturbed less often by other processes. */
const macsPerGraph = 1 << 27;
/** Maximum multiply-adds of a matmul that is timed. */
const mostMacs = 1 << 30;
/** Number of runs; only the fastest counts, since other processes delay some of them. */
const fewestRuns = 4;
const mostRuns = 20;
const enoughMilliseconds = 120;

/** Bytes by which each copy is rotated: a multiple of the size of every type. */
const step = 64;

/**
 * Encoding with the same sizes and values in another order for each `copy`, for timing. ONNX Runtime packs weights with
 * equal bytes once for all layers, and would then read them from the CPU caches.
 */
export function unlikeCopy(
  form: MatrixEncoding<TensorData>,
  copy: number,
): MatrixEncoding<TensorData> {
  return mapTensors(form, ({ bytes, ...tensor }) => {
    const shift = (copy * step) % Math.max(1, bytes.length);
    const rotated = new Uint8Array(bytes.length);
    rotated.set(bytes.subarray(shift));
    rotated.set(bytes.subarray(0, shift), bytes.length - shift);
    return { ...tensor, bytes: rotated };
  });
}

/**
 * Times every kind of matmul on this machine, which takes some seconds. Each graph applies several matrices in sequence
 * that have about as many weights as a model.
 * @param afterGraph awaited after each graph with the finished share; may throw to stop
 */
export async function measureCosts(
  device: DeviceName,
  afterGraph?: (done: number, total: number) => Promise<void>,
  { widths, rowCounts } = defaultSizes,
): Promise<Sample[]> {
  const forms = widths.flatMap((width) => createForms(width, seededRandom(width)));
  const folder = await mkdtemp(join(tmpdir(), 'espalier-costs-'));
  try {
    const samples: Sample[] = [];
    for (const [i, { width, form }] of forms.entries()) {
      const most = Math.max(...rowCounts.map((count) => copyCount(form, count)));
      const copies = Array.from({ length: most }, (_, copy) => unlikeCopy(form, copy));
      const named = new Map(copies.map((copy, place) => [`matrix.${place}`, copy]));
      const stored = await storeEncodings(join(folder, `${i}.safetensors`), named);
      samples.push(...(await timeForm(device, width, [...stored.values()], rowCounts)));
      await afterGraph?.(i + 1, forms.length);
    }
    return samples;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Number of matrices in a graph for `rows` rows; 0 if the matmul is too large. */
function copyCount(
  form: MatrixEncoding<{ readonly shape: readonly number[] }>,
  rows: number,
): number {
  const [work] = encodingWork(form, rows);
  if (work === undefined || work.macs > mostMacs) {
    return 0;
  }
  const most = Math.min(bytesPerGraph / work.bytes, macsPerGraph / work.macs, mostCopies);
  return Math.max(1, Math.floor(most));
}

async function timeForm(
  device: DeviceName,
  width: number,
  forms: readonly MatrixEncoding[],
  rowCounts: readonly number[],
): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (const count of rowCounts) {
    const [form] = forms;
    const copies = form === undefined ? 0 : copyCount(form, count);
    if (form !== undefined && copies > 0) {
      const milliseconds = await timeRows(device, width, count, forms.slice(0, copies));
      samples.push(
        ...encodingWork(form, count).map((work) => ({
          ...work,
          milliseconds: milliseconds / copies,
        })),
      );
    }
  }
  return samples;
}

/** Milliseconds of the fastest run of `count` rows through the matrices in sequence. */
async function timeRows(
  device: DeviceName,
  width: number,
  count: number,
  forms: readonly MatrixEncoding[],
): Promise<number> {
  const graph = new GraphBuilder('costs');
  const rows = graph.input('rows', DataType.FLOAT, [count, width]);
  const last = forms.reduce((inputs, form) => emitEncoding(graph, form, inputs), rows);
  graph.output('result', last, DataType.FLOAT, [count, width]);
  const session = await createSession(graph, { device, prepack: true });
  try {
    const numbers = normals(count * width, 1, seededRandom(count));
    const feeds = { rows: floatTensor(numbers, [count, width]) };
    let fastest = Number.POSITIVE_INFINITY;
    let spent = 0;
    for (let run = 0; run < fewestRuns || (run < mostRuns && spent < enoughMilliseconds); run++) {
      const started = performance.now();
      await session.run(feeds);
      const time = performance.now() - started;
      spent += time;
      fastest = Math.min(fastest, time);
    }
    return fastest;
  } finally {
    await session.release();
  }
}

/** Square matrix in every encoding, scaled so that outputs have the size of their inputs. */
function createForms(
  width: number,
  random: Random,
): { readonly width: number; readonly form: MatrixEncoding<TensorData> }[] {
  const deviation = 1 / Math.sqrt(width);
  const weight = float32Data([width, width], normals(width * width, deviation, random));
  const blocks = Math.ceil(width / groupSize);
  const blockForm = (bits: 4 | 8): MatrixEncoding<TensorData> => ({
    kind: 'group-quantized',
    bits,
    groupSize,
    out: width,
    in: width,
    quants: uint8Data(
      [width, blocks, (groupSize * bits) / 8],
      bytes((width * blocks * groupSize * bits) / 8, random),
    ),
    scales: float32Data(
      [width, blocks],
      new Float32Array(width * blocks).fill(deviation * uniformScale(bits)),
    ),
    run: 'matmul-nbits',
  });
  const int8: MatrixEncoding<TensorData> = {
    kind: 'int8',
    quants: int8Data([width, width], new Int8Array(bytes(width * width, random).buffer)),
    scales: float32Data([width], new Float32Array(width).fill(deviation * uniformScale(8))),
  };
  const chains = bonds.map((bond): MatrixEncoding<TensorData> => {
    const factors = factorize(width, sites);
    const layout = { out: factors, in: factors };
    const inner = bondSizes(layout, bond);
    return {
      kind: 'mpo',
      sites: layout,
      bonds: inner,
      cores: factors.map((factor, k) => {
        const [left, right] = [inner[k - 1] ?? 1, inner[k] ?? 1];
        const core = normals(left * factor ** 2 * right, 1 / Math.sqrt(left * factor), random);
        return float32Data([left, factor, factor, right], core);
      }),
      run: 'chained',
    };
  });
  return [{ kind: 'dense' as const, weight }, int8, blockForm(8), blockForm(4), ...chains].map(
    (form) => ({ width, form }),
  );
}

/** Scale for which integers distributed uniformly over `bits` have a standard deviation of 1. */
function uniformScale(bits: 4 | 8): number {
  return Math.sqrt(12) / 2 ** bits;
}

function normals(count: number, deviation: number, random: Random): Float32Array {
  const numbers = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    numbers[i] = deviation * standardNormal(random);
  }
  return numbers;
}

function bytes(count: number, random: Random): Uint8Array {
  const numbers = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    numbers[i] = random() * 256;
  }
  return numbers;
}
