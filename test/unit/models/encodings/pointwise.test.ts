import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { TensorData } from '../../../../extension/core/checkpoints/lazy-tensor';
import { emitPointwise } from '../../../../extension/core/models/encodings/emit-pointwise';
import { encodingSizes } from '../../../../extension/core/models/encodings/encoding-facts';
import { storeEncodings } from '../../../../extension/core/models/encodings/store-encodings';
import type { MatrixEncoding } from '../../../../extension/core/models/matrix-encoding';
import { OnnxLayeredModel } from '../../../../extension/core/models/onnx/onnx-layered-model';
import { openModel } from '../../../../extension/core/models/open-model';
import { DataType, GraphBuilder } from '../../../../extension/core/onnx/graph-builder';
import { createSession } from '../../../../extension/core/runtime/session';
import { floatTensor, floatsIn, floatOutput } from '../../../../extension/core/runtime/tensors';
import { relativeError } from '../../fixtures';
import { modelBytes, rawTensor } from '../../onnx-bytes';
import type { NodeLine } from '../../onnx-bytes';
import { graphExample, onnxFixture } from '../../onnx-fixtures';
import { temporaryFolder } from '../../temporary-folder';
import {
  denseForm,
  denseForms,
  listLayers,
  computeOutputs,
  quantizedForms,
  runTapped,
  readStates,
  readWeights,
  withEncodings,
} from './layered';
import { contracted, FormMaker } from './made-forms';

const folder = temporaryFolder();
let count = 0;
const scratch = (): string => join(folder, `${count++}.safetensors`);

const make = new FormMaker(3);
const sites = { out: [2, 4], in: [4, 4] };
const blocks = { bits: 4, groupSize: 16 } as const;

/** With the largest error, relative to the largest output, that rounding makes. */
const forms: Readonly<Record<string, readonly [MatrixEncoding<TensorData>, number]>> = {
  dense: [make.dense(8, 16), 1e-6],
  float16: [make.half(8, 16), 1e-6],
  'low rank': [make.lowRank(8, 16, 3), 3e-6],
  contracted: [make.mpo(sites, 3, 'contracted', true), 3e-6],
  chained: [make.mpo(sites, 3, 'chained', true), 3e-6],
  int8: [make.int8(8, 16), 2e-2],
  'int8 in basic operators': [{ ...make.int8(8, 16, true), run: 'basic' }, 1e-6],
  blocks: [make.blocks(8, 16, { ...blocks, run: 'matmul-nbits' }), 2e-2],
  'blocks in standard operators': [make.blocks(8, 16, { ...blocks, run: 'qdq' }), 1e-6],
  'blocks in basic operators': [make.blocks(8, 16, { ...blocks, run: 'basic' }), 1e-6],
  'low rank of few bits': [
    {
      kind: 'low-rank',
      rank: 16,
      left: make.blocks(8, 16, { ...blocks, run: 'matmul-nbits' }),
      right: make.int8(16, 16),
    },
    4e-2,
  ],
};

/** W at each position of a map [batch, in, positions]. */
function atPositions(form: MatrixEncoding<TensorData>, map: Float32Array, positions: number) {
  const { out, in: input } = encodingSizes(form);
  const matrix = contracted(form);
  return Float32Array.from({ length: (map.length / input) * out }, (_, place) => {
    const position = place % positions;
    const o = Math.floor(place / positions) % out;
    const batch = Math.floor(place / positions / out);
    let sum = 0;
    for (let i = 0; i < input; i++) {
      sum += (matrix[o * input + i] ?? 0) * (map[(batch * input + i) * positions + position] ?? 0);
    }
    return sum;
  });
}

describe('a form over the positions of a map', () => {
  const sizes = [
    [2, 16, 5],
    [2, 16, 3, 4],
    [1, 16, 2, 3, 2],
  ] as const;
  const cases = Object.entries(forms).flatMap(([name, [form, tolerance]]) =>
    sizes.map((shape) => [name, shape.length - 2, shape, form, tolerance] as const),
  );

  it.each(cases)(
    '%s with %i axes is a convolution of kernel 1',
    async (_, axes, shape, form, tolerance) => {
      const graph = new GraphBuilder('map');
      const x = graph.input('x', DataType.FLOAT, ['batch', 16, ...shape.slice(2).map(String)]);
      const stored = await storeEncodings(scratch(), new Map([['w', form]]));
      const found = stored.get('w') ?? expect.fail('the form has not been stored');
      graph.output('y', emitPointwise(graph, found, x, axes), DataType.FLOAT);
      const session = await createSession(graph, { device: 'cpu', prepack: true });
      const { bytes } = make.floats(shape, 1);
      const map = new Float32Array(bytes.buffer);
      const outputs = await session.run({ x: floatTensor(map, [...shape]) });
      await session.release();
      expect(outputs['y']?.dims).toEqual([shape[0], 8, ...shape.slice(2)]);
      const positions = shape.slice(2).reduce<number>((product, size) => product * size, 1);
      const expected = atPositions(form, map, positions);
      expect(relativeError(floatOutput(outputs, 'y'), expected)).toBeLessThan(tolerance);
    },
  );
});

/** A graph of residual branches, each over x [1, 8, 6, 6]. */
function writeModel(branches: readonly NodeLine[][], opset = 17): string {
  const path = join(folder, `${count++}.onnx`);
  const shape = [1, 8, 6, 6];
  const nodes = branches.flatMap((branch, i): NodeLine[] => [
    ...branch,
    ['Add', [`x${i}`, `f${i}`], [i === branches.length - 1 ? 'y' : `x${i + 1}`]],
  ]);
  const kernels: [string, number[]][] = [
    ['down', [4, 8, 1, 1]],
    ['up', [4, 8, 2, 2]],
    ['up.bias', [8]],
    ['wide', [16, 8, 1, 1]],
    ['wide.bias', [16]],
    ['narrow', [8, 16, 1, 1]],
    ['grouped', [8, 4, 1, 1]],
    ['dense', [8, 8, 3, 3]],
  ];
  const initializers = kernels.map(([name, dims]) => rawTensor(name, dims));
  const text = { inputs: { x0: shape }, outputs: { y: shape }, nodes, initializers };
  writeFileSync(path, modelBytes(text, opset));
  return path;
}

const bottleneck = (i: number): NodeLine[] => [
  ['Conv', [`x${i}`, 'wide', 'wide.bias'], [`a${i}`], { kernel_shape: [1, 1] }],
  ['Relu', [`a${i}`], [`b${i}`]],
  ['Conv', [`b${i}`, 'narrow'], [`f${i}`]],
];
const strided = (i: number): NodeLine[] => [
  ['Conv', [`x${i}`, 'down'], [`a${i}`], { strides: [2, 2] }],
  ['Relu', [`a${i}`], [`b${i}`]],
  ['ConvTranspose', [`b${i}`, 'up', 'up.bias'], [`f${i}`], { strides: [2, 2] }],
];

const example = {
  x0: {
    dtype: 'F32' as const,
    dims: [1, 8, 6, 6],
    data: Float32Array.from({ length: 288 }, (_, i) => Math.sin(i * i)),
  },
};

describe('convolutions of kernel 1 in a graph', () => {
  it.each([9, 11, 17, 21])(
    'are its linear layers in opset %i, also with strides',
    async (opset) => {
      const model = await openModel(writeModel([bottleneck(0), strided(1)], opset));
      const layers = listLayers(model);
      expect(layers.map(({ id, out, in: input }) => [id, out, input])).toEqual([
        ['wide', 16, 8],
        ['narrow', 8, 16],
        ['down', 4, 8],
      ]);
      const expected = await computeOutputs(model, [example]);
      const copied = await withEncodings(model, scratch(), await denseForms(layers));
      expect(relativeError(await computeOutputs(copied, [example]), expected)).toBeLessThan(1e-6);
      const few = quantizedForms(layers);
      const plain = layers.map((layer) => {
        const form = few.get(layer.id);
        return [layer.id, denseForm(form ? contracted(form) : new Float32Array(), layer)] as const;
      });
      const quantized = await withEncodings(model, scratch(), few);
      const same = await withEncodings(model, scratch(), new Map(plain));
      expect(quantized.summary.sublayers.map(({ id }) => id)).toEqual(
        model.summary.sublayers.map(({ id }) => id),
      );
      const wanted = await computeOutputs(same, [example]);
      expect(relativeError(await computeOutputs(quantized, [example]), wanted)).toBeLessThan(0.03);
    },
  );

  it('have their inputs tapped at each position that they use', async () => {
    const model = await openModel(writeModel([strided(0)]));
    const [state] = await readStates(model, example);
    const step = model.sublayer(0).tapped;
    if (state === undefined) {
      expect.fail('there is no sublayer');
    }
    const rows = (await runTapped(step, state)).rows.get('down') ?? new Float32Array();
    const { data } = example.x0;
    const expected = [0, 2, 4].flatMap((y) =>
      [0, 2, 4].flatMap((x) => Array.from({ length: 8 }, (_, c) => data[c * 36 + y * 6 + x] ?? 0)),
    );
    expect([...rows]).toEqual(expected);
  });

  it('are not found with groups or padding; larger kernels are not mentioned', async () => {
    const grouped: NodeLine[] = [
      ['Conv', ['x0', 'grouped'], ['a0'], { group: 2 }],
      ['Conv', ['a0', 'dense'], ['f0'], { pads: [1, 1, 1, 1] }],
    ];
    const padded: NodeLine[] = [
      ['Conv', ['x1', 'wide'], ['a1'], { pads: [1, 1, 1, 1] }],
      ['Conv', ['a1', 'narrow'], ['b1']],
      ['MaxPool', ['b1'], ['f1'], { kernel_shape: [3, 3] }],
    ];
    const model = await OnnxLayeredModel.open(writeModel([grouped, padded]));
    expect(listLayers(model).map(({ id }) => id)).toEqual(['narrow']);
    expect(model.unusableMatrices).toEqual([
      { name: 'grouped', problem: 'the convolution has 2 groups' },
      { name: 'wide', problem: 'the convolution pads what it reads' },
    ]);
  });

  it('of inverted residuals can be quantized', async () => {
    const model = await openModel(onnxFixture('mobilenet-legacy'));
    const layers = listLayers(model);
    const few = quantizedForms(layers);
    const plain = layers.map((layer) => {
      const form = few.get(layer.id);
      return [layer.id, denseForm(form ? contracted(form) : new Float32Array(), layer)] as const;
    });
    const input = graphExample('mobilenet-legacy');
    const quantized = await withEncodings(model, scratch(), few);
    const same = await withEncodings(model, scratch(), new Map(plain));
    const wanted = await computeOutputs(same, [input]);
    expect(relativeError(await computeOutputs(quantized, [input]), wanted)).toBeLessThan(0.06);
  });
});

describe('a Gemm', () => {
  it.each([
    [0, 0.5, -2],
    [1, 1, 3],
  ])('with transB %i, alpha %d and beta %d stays unchanged', async (transB, alpha, beta) => {
    const path = join(folder, `${count++}.onnx`);
    const nodes: NodeLine[] = [
      ['Gemm', ['x', 'w', 'c'], ['a'], { transB, alpha: alpha, beta: beta }],
      ['Relu', ['a'], ['b']],
      ['Gemm', ['b', 'v'], ['f']],
      ['Add', ['x', 'f'], ['y']],
    ];
    const initializers = [
      rawTensor('w', transB === 1 ? [6, 4] : [4, 6]),
      rawTensor('c', [6]),
      rawTensor('v', [6, 4]),
    ];
    const shape = ['rows', 4];
    writeFileSync(
      path,
      modelBytes({ inputs: { x: shape }, outputs: { y: shape }, nodes, initializers }),
    );
    const model = await openModel(path);
    const x = {
      x: {
        dtype: 'F32' as const,
        dims: [3, 4],
        data: Float32Array.from({ length: 12 }, (_, i) => Math.cos(i)),
      },
    };
    const layers = listLayers(model);
    expect(layers.map(({ id }) => id)).toEqual(['w', 'v']);
    const copied = await withEncodings(model, scratch(), await denseForms(layers));
    const expected = await computeOutputs(model, [x]);
    expect(relativeError(await computeOutputs(copied, [x]), expected)).toBeLessThan(1e-6);
    expect(floatsIn(floatTensor(expected, [3, 4])).every(Number.isFinite)).toBe(true);
    const [first] = layers;
    const [weight] = await readWeights([first ?? expect.fail('there is no layer')]);
    expect(weight).toHaveLength(24);
  });
});
