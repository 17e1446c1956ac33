import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tensor } from 'onnxruntime-node';
import { expect } from 'vitest';
import { removeFromGraph } from '../../../../extension/core/export/onnx/onnx-surgery';
import { inEnglish } from '../../../../extension/core/message';
import { openOnnxModel } from '../../../../extension/core/models/onnx/onnx-model';
import type { OnnxModel } from '../../../../extension/core/models/onnx/stream/graph-stream';
import type { GraphProto, TensorProto } from '../../../../extension/core/onnx/proto/onnx_pb';
import { createSession } from '../../../../extension/core/runtime/session';
import { relativeError } from '../../fixtures';
import { graph, intTensor, modelBytes, rawTensor } from '../../onnx-bytes';
import type { GraphText, NodeLine } from '../../onnx-bytes';
import { temporaryFolder } from '../../temporary-folder';
import { openSession } from '../../whole-session';

export const [steps, width, inner] = [3, 32, 64];
export const rows = new Tensor(
  'float32',
  Float32Array.from({ length: 4 * width }, (_, i) => Math.sin(i)),
  [4, width],
);

/** x + down · tanh(x · up), and what is between. */
export const block = (up: string, down: string, from = 'h', to = 'next'): NodeLine[] => [
  ['MatMul', [from, up], [`${to}.wide`]],
  ['Tanh', [`${to}.wide`], [`${to}.active`]],
  ['MatMul', [`${to}.active`, down], [`${to}.f`]],
  ['Add', [from, `${to}.f`], [to]],
];
const stacks = [
  rawTensor('up', [steps, width, inner], noise(steps * width * inner, 1)),
  rawTensor('down', [steps, inner, width], noise(steps * width * inner, 2)),
];
const others = [
  ...['three', 'zero', 'one'].map((name, i) => intTensor(name, [[steps, 0, 1][i] ?? 0])),
  rawTensor('most', [], [3]),
  rawTensor('across', [width, steps, inner]),
];

export function noise(length: number, seed: number): number[] {
  return Array.from({ length }, (_, i) => Math.sin(i * 12.9898 + seed * 78.233) / 4);
}

export const scanBody = (
  more: readonly NodeLine[] = [],
  outputs: GraphText['outputs'] = {},
): GraphProto =>
  graph({
    inputs: { h: ['n', width], u: [width, inner], d: [inner, width] },
    outputs: { next: ['n', width], ...outputs },
    nodes: [...block('u', 'd'), ...more],
  });

/** A Loop's body whose steps take their weights by their number. */
export const loopBody = (
  nodes: readonly NodeLine[] = [['Identity', ['going'], ['on']]],
  outputs: GraphText['outputs'] = {},
): GraphProto =>
  graph({
    inputs: { step_ids: [], going: [], h: ['n', width] },
    outputs: { on: [], next: ['n', width], ...outputs },
    nodes: [
      ['Gather', ['up', 'step_ids'], ['u']],
      ['Gather', ['down', 'step_ids'], ['d']],
      ...block('u', 'd'),
      ...nodes,
    ],
  });

export interface Written {
  readonly nodes: readonly NodeLine[];
  readonly outputs?: GraphText['outputs'];
  readonly inputs?: GraphText['inputs'];
  /** Inputs besides those that all graphs here have. */
  readonly initializers?: GraphText['initializers'];
}

/** The stacks with zeros in the weights of a step. */
export function silenced(step: number): TensorProto[] {
  return stacks.map(({ name, dims, rawData }) => {
    const values = [...new Float32Array(rawData.buffer, rawData.byteOffset, rawData.length / 4)];
    const size = values.length / steps;
    return rawTensor(
      name,
      dims.map(Number),
      values.map((value, i) => (Math.floor(i / size) === step ? 0 : value)),
    );
  });
}

/** The file of a graph, which holds other stacks than {@link stacks} if wanted. */
export function toBytes(
  { nodes, outputs = {}, inputs = {}, initializers = [] }: Written,
  opset = 17,
  held: readonly TensorProto[] = stacks,
): Uint8Array {
  return modelBytes(
    {
      inputs: { x: ['n', width], ...inputs },
      outputs: { y: ['n', width], ...outputs },
      nodes,
      initializers: [...held, ...others, ...initializers],
    },
    opset,
  );
}

type Opened = OnnxModel & { readonly ids: readonly string[]; readonly warnings: readonly string[] };

/** File of a graph, in a folder that is deleted after the tests of the calling file. */
export class LoopFile {
  public readonly folder = temporaryFolder();
  public readonly path = join(this.folder, 'model.onnx');

  public write(model: Written, opset = 17): void {
    writeFileSync(this.path, toBytes(model, opset));
  }

  public async opened(model: Written, opset = 17): Promise<Opened> {
    this.write(model, opset);
    const found = await openOnnxModel(this.path);
    const { sublayers, warnings } = found.summary;
    return { ...found, ids: sublayers.map(({ id }) => id), warnings: warnings.map(inEnglish) };
  }

  /** All outputs of the file as ONNX Runtime runs it, and of the graph step by step. */
  public async expectSame(feeds: Readonly<Record<string, Tensor>> = { x: rows }): Promise<void> {
    const whole = await openSession(this.path);
    const unrolled = await removeFromGraph(await openOnnxModel(this.path), new Set());
    const stepwise = await createSession(unrolled, { device: 'cpu', prepack: false });
    try {
      const [expected, actual] = [await whole.run(feeds), await stepwise.run(feeds)];
      expect(Object.keys(actual)).toEqual(Object.keys(expected));
      for (const [name, tensor] of Object.entries(expected)) {
        expect(actual[name]?.dims, name).toEqual(tensor.dims);
        const given = actual[name]?.data as Float32Array;
        expect(relativeError(given, tensor.data as Float32Array), name).toBeLessThan(1e-5);
      }
    } finally {
      await whole.release();
      await stepwise.release();
    }
  }
}

export const three = Array.from({ length: steps }, (_, i) => `block.${i}.feedforward`);
