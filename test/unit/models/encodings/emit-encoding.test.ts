import { join, parse, relative, sep } from 'node:path';
import { readFileSync } from 'node:fs';
import { fromBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import type { TensorData } from '../../../../extension/core/checkpoints/lazy-tensor';
import { emitEncoding } from '../../../../extension/core/models/encodings/emit-encoding';
import { encodingSizes } from '../../../../extension/core/models/encodings/encoding-facts';
import { storeEncodings } from '../../../../extension/core/models/encodings/store-encodings';
import type {
  Int8Encoding,
  MatrixEncoding,
} from '../../../../extension/core/models/matrix-encoding';
import { MatrixProducts } from '../../../../extension/core/linear-algebra/matrix-products';
import { DataType, GraphBuilder } from '../../../../extension/core/onnx/graph-builder';
import { ModelProtoSchema } from '../../../../extension/core/onnx/proto/onnx_pb';
import {
  quantizePerOutput,
  quantizeSmoothed,
} from '../../../../extension/core/tensornet/quantize/int8';
import { float32Data } from '../../../../extension/core/tensornet/tensor-values';
import { createSession } from '../../../../extension/core/runtime/session';
import { floatTensor, floatOutput } from '../../../../extension/core/runtime/tensors';
import { relativeError } from '../../fixtures';
import { temporaryFolder } from '../../temporary-folder';
import { contracted, FormMaker, readNumbers } from './made-forms';
import { openSession } from '../../whole-session';

const folder = temporaryFolder();
let count = 0;

async function buildGraph(
  form: MatrixEncoding<TensorData>,
  withBias: boolean,
): Promise<GraphBuilder> {
  const { out } = encodingSizes(form);
  return buildFullGraph([form], withBias ? getBias(out) : undefined);
}

/** Several forms over the same rows, their outputs named y0, y1, …. */
async function buildFullGraph(
  forms: readonly MatrixEncoding<TensorData>[],
  bias?: Float32Array,
): Promise<GraphBuilder> {
  const named = forms.map((form, i) => [`w${i}`, form] as const);
  const stored = await storeEncodings(join(folder, `${count++}.safetensors`), new Map(named));
  const graph = new GraphBuilder('forms');
  const [first] = forms;
  const width = first === undefined ? 0 : encodingSizes(first).in;
  const rows = graph.input('rows', DataType.FLOAT, ['count', width]);
  for (const [i, form] of [...stored.values()].entries()) {
    const { out } = encodingSizes(form);
    const shift = bias === undefined ? undefined : graph.floats(bias, [out]);
    graph.output(`y${i}`, emitEncoding(graph, form, rows, shift), DataType.FLOAT, ['count', out]);
  }
  return graph;
}

function getBias(out: number): Float32Array {
  return Float32Array.from({ length: out }, (_, o) => o / out - 0.5);
}

const rowCount = 5;

function makeRows(input: number): Float32Array {
  const { bytes } = new FormMaker(99).floats([rowCount, input], 1);
  return new Float32Array(bytes.buffer);
}

/** Of ONNX Runtime. */
async function applied(
  form: MatrixEncoding<TensorData>,
  rows: Float32Array,
  withBias = false,
): Promise<Float32Array> {
  const session = await createSession(await buildGraph(form, withBias), {
    device: 'cpu',
    prepack: true,
  });
  try {
    const { in: input } = encodingSizes(form);
    const outputs = await session.run({ rows: floatTensor(rows, [rows.length / input, input]) });
    return floatOutput(outputs, 'y0');
  } finally {
    await session.release();
  }
}

/** Σᵢ f(x, W[o, i]) for each row x and output o. */
function sums(
  form: MatrixEncoding<TensorData>,
  rows: Float32Array,
  term: (x: number, w: number) => number,
): Float32Array {
  const { out, in: input } = encodingSizes(form);
  const matrix = contracted(form);
  return Float32Array.from({ length: (rows.length / input) * out }, (_, place) => {
    const [row, o] = [Math.floor(place / out), place % out];
    let sum = 0;
    for (let i = 0; i < input; i++) {
      sum += term(rows[row * input + i] ?? 0, matrix[o * input + i] ?? 0);
    }
    return sum;
  });
}

function product(form: MatrixEncoding<TensorData>, rows: Float32Array): Float32Array {
  return sums(form, rows, (x, w) => x * w);
}

function expectWithin(actual: Float32Array, expected: Float32Array, most: Float32Array): void {
  const errors = expected.map((y, place) => Math.abs(y - (actual[place] ?? Number.NaN)));
  expect(errors.every((error, place) => error <= (most[place] ?? 0))).toBe(true);
}

const make = new FormMaker(1);
const sites = { out: [4, 6], in: [8, 6] };
const threeSites = { out: [2, 4, 3], in: [4, 2, 6] };
const fourSites = { out: [2, 2, 3, 2], in: [2, 4, 3, 2] };
const qdq = { groupSize: 16, run: 'qdq' } as const;

/** Forms whose products are of floats. */
const exact: Readonly<Record<string, MatrixEncoding<TensorData>>> = {
  float32: make.dense(24, 48),
  float16: make.half(24, 48),
  'low rank': make.lowRank(24, 48, 6),
  'low rank of a low rank and cores': {
    kind: 'low-rank',
    rank: 12,
    left: make.lowRank(24, 12, 3),
    right: make.mpo({ out: [3, 4], in: [8, 6] }, 3, 'chained'),
  },
  'two sites, contracted': make.mpo(sites, 5, 'contracted'),
  'two sites, chained': make.mpo(sites, 5, 'chained'),
  'three sites, contracted': make.mpo(threeSites, 3, 'contracted'),
  'three sites, contracted, scaled': make.mpo(threeSites, 3, 'contracted', true),
  'three sites, chained': make.mpo(threeSites, 3, 'chained'),
  'three sites, chained, scaled': make.mpo(threeSites, 3, 'chained', true),
  'four sites, contracted': make.mpo(fourSites, 2, 'contracted'),
  'four sites, chained': make.mpo(fourSites, 2, 'chained'),
  'one site, chained': make.mpo({ out: [24], in: [48] }, 1, 'chained'),
};

/** Forms whose inputs are quantized where the runtime finds it faster. */
const blocks: Readonly<Record<string, MatrixEncoding<TensorData>>> = {
  'int4, symmetric, as standard operators': make.blocks(24, 64, { bits: 4, ...qdq }),
  'int4, asymmetric, as standard operators': make.blocks(24, 64, {
    bits: 4,
    ...qdq,
    asymmetric: true,
  }),
  'int4, an odd number of blocks, as standard operators': make.blocks(24, 48, {
    bits: 4,
    ...qdq,
    asymmetric: true,
  }),
  'int4, the last block not full, as standard operators': make.blocks(24, 40, { bits: 4, ...qdq }),
  'int8, asymmetric, as standard operators': make.blocks(24, 48, {
    bits: 8,
    ...qdq,
    asymmetric: true,
  }),
  'int4, symmetric': make.blocks(24, 64, { bits: 4, groupSize: 32, run: 'matmul-nbits' }),
  'int4, asymmetric': make.blocks(24, 96, {
    bits: 4,
    groupSize: 32,
    run: 'matmul-nbits',
    asymmetric: true,
  }),
  'int4, the last block not full': make.blocks(24, 40, {
    bits: 4,
    groupSize: 16,
    run: 'matmul-nbits',
  }),
  'int8 by blocks, symmetric': make.blocks(24, 64, { bits: 8, groupSize: 32, run: 'matmul-nbits' }),
  'int8 by blocks, asymmetric': make.blocks(24, 64, {
    bits: 8,
    groupSize: 64,
    run: 'matmul-nbits',
    asymmetric: true,
  }),
};

const all = {
  ...exact,
  ...blocks,
  int8: make.int8(24, 48),
  'int8, inputs scaled': make.int8(24, 48, true),
};

describe('a form in a graph', () => {
  it.each(Object.entries(exact))('%s equals its dense matrix', async (_, form) => {
    const rows = makeRows(encodingSizes(form).in);
    expect(relativeError(await applied(form, rows), product(form, rows))).toBeLessThan(3e-6);
  });

  it.each(Object.entries(blocks))('%s is near to it', async (_, form) => {
    const rows = makeRows(encodingSizes(form).in);
    const actual = await applied(form, rows);
    const expected = product(form, rows);
    const reach = Math.max(...rows.map(Math.abs)) / 127;
    const most = sums(form, rows, (_x, w) => Math.abs(w) * reach);
    expectWithin(actual, expected, most);
  });

  it.each([false, true])(
    'int8 is as near as 255 steps over each row allow, inputs scaled: %s',
    async (isScaled) => {
      const form = make.int8(24, 48, isScaled);
      // Rows of very different sizes; one holds the same number throughout.
      const rows = makeRows(48).map(
        (x, i) => [x, 1000 * x, 7, 1e-4 * x][Math.floor(i / 48) % 4] ?? 0,
      );
      const actual = await applied(form, rows);
      const expected = product(form, rows);
      const factors = isScaled && form.inputScale ? readNumbers(form.inputScale) : undefined;
      const scaled = rows.map((x, i) => x * (factors?.[i % 48] ?? 1));
      const steps = Array.from({ length: rows.length / 48 }, (_, row) => {
        const own = scaled.subarray(48 * row, 48 * (row + 1));
        return (Math.max(...own) - Math.min(...own)) / 255;
      });
      const halfStep = Float32Array.from(rows, (_, place) => {
        const [row, i] = [Math.floor(place / 48), place % 48];
        const largest = Math.max(...rows.subarray(48 * row, 48 * (row + 1)).map(Math.abs));
        return (0.501 * (steps[row] ?? 0)) / (factors?.[i] ?? 1) + 1e-6 * largest;
      });
      expectWithin(
        actual,
        expected,
        sums(form, halfStep, (reach, w) => Math.abs(w) * reach),
      );
    },
  );

  it('smoothed int8 is far more accurate if one input is very large', async () => {
    const matrix = { count: 24, length: 48, numbers: contracted(make.dense(24, 48)) };
    const rows = makeRows(48).map((x, i) => (i % 48 === 5 ? 60 * x : x));
    const gram = { size: 48, numbers: new Float64Array(48 * 48) };
    rows.forEach((x, i) => {
      gram.numbers[(i % 48) * 49] = (gram.numbers[(i % 48) * 49] ?? 0) + x * x;
    });
    const expected = product(
      { kind: 'dense', weight: float32Data([24, 48], matrix.numbers) },
      rows,
    );
    const products = new MatrixProducts('cpu', 0);
    const measureError = async (form: Int8Encoding<TensorData>): Promise<number> =>
      relativeError(await applied(form, rows), expected);
    const smoothed = await measureError(await quantizeSmoothed(products, matrix, { gram }));
    await products.dispose();
    expect(smoothed).toBeLessThan(0.01);
    expect(smoothed).toBeLessThan((await measureError(quantizePerOutput(matrix))) / 2);
  });

  it('int8 rounds each row separately', async () => {
    const form = make.int8(24, 48);
    const rows = makeRows(48);
    const one = await applied(form, rows.slice(0, 48));
    expect([...(await applied(form, rows)).subarray(0, 24)]).toEqual([...one]);
  });

  it.each(Object.entries(all))('%s supports a bias', async (_, form) => {
    const rows = makeRows(encodingSizes(form).in);
    const plain = await applied(form, rows);
    const bias = getBias(24);
    const expected = plain.map((y, place) => y + (bias[place % 24] ?? 0));
    expect(relativeError(await applied(form, rows, true), expected)).toBeLessThan(1e-5);
  });

  it.each(Object.entries(all))('%s supports zero rows', async (_, form) => {
    expect(await applied(form, new Float32Array())).toHaveLength(0);
  });
});

/** Operators that are left when ONNX Runtime has made a session of forms over the same rows. */
async function operatorsLeft(...forms: readonly MatrixEncoding<TensorData>[]): Promise<string[]> {
  const path = join(folder, `${count++}.optimized.onnx`);
  const graph = await buildFullGraph(forms);
  const { root } = parse(folder);
  const model = graph.toBytes(({ file, offset }) => ({
    location: relative(root, file).split(sep).join('/'),
    offset,
  }));
  const session = await openSession(model, {
    graphOptimizationLevel: 'all',
    optimizedModelFilePath: path,
    extra: { session: { model_external_initializers_file_folder_path: root } },
  });
  await session.release();
  const { graph: optimized } = fromBinary(ModelProtoSchema, readFileSync(path));
  return optimized?.node.map(({ opType }) => opType) ?? [];
}

describe('a session', () => {
  it('multiplies contracted cores together once', async () => {
    expect(await operatorsLeft(make.mpo(threeSites, 3, 'contracted', true))).toEqual(['Gemm']);
  });

  it.each([
    'int4, symmetric, as standard operators',
    'int4, an odd number of blocks, as standard operators',
  ])('joins %s into one operator', async (name) => {
    expect(await operatorsLeft(blocks[name] ?? make.dense(1, 1))).toEqual(['MatMulNBits']);
  });

  it('has computed the sums of int8 weights', async () => {
    const left = await operatorsLeft(make.int8(24, 48, true));
    expect(left.filter((op) => op === 'MatMulInteger')).toHaveLength(1);
  });

  it('reduces an MPO to its matmuls and transpositions', async () => {
    const left = await operatorsLeft(make.mpo(threeSites, 3, 'chained'));
    expect(left.filter((op) => op === 'MatMul')).toHaveLength(3);
    expect(new Set(left)).toEqual(new Set(['MatMul', 'Reshape', 'Transpose']));
  });
});
