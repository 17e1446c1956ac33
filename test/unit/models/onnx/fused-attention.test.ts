import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Example } from '../../../../extension/core/models/model-input';
import { OnnxLayeredModel } from '../../../../extension/core/models/onnx/onnx-layered-model';
import { relativeError } from '../../fixtures';
import { DataType } from '../../../../extension/core/onnx/graph-builder';
import { intTensor, modelBytes, rawTensor } from '../../onnx-bytes';
import type { NodeLine } from '../../onnx-bytes';
import { temporaryFolder } from '../../temporary-folder';
import {
  denseForms,
  floatForms,
  listLayers,
  computeOutputs,
  withEncodings,
} from '../encodings/layered';

const folder = temporaryFolder();
let count = 0;
const scratch = (): string => join(folder, `${count++}.safetensors`);

const [batch, sequence, width, past] = [2, 3, 8, 2];
const int32: number = DataType.INT32;

/** Additional inputs of a fused attention, without which ONNX Runtime 1.30 crashes. */
interface Variant {
  /** Nodes that make `mask`, of the shape given. */
  readonly mask?: { readonly shape: readonly number[]; readonly nodes: readonly NodeLine[] };
  readonly cached?: boolean;
  readonly relative?: boolean;
  readonly attributes?: Readonly<Record<string, number | readonly number[]>>;
  readonly out?: number;
}

const asInt32: NodeLine = ['Cast', ['attention_mask'], ['mask'], { to: int32 }];
const total = (cached: boolean): number => sequence + (cached ? past : 0);
const rows = (cached = false) => ({ shape: [batch, total(cached)], nodes: [asInt32] });

const variants: Readonly<Record<string, Variant>> = {
  plain: {},
  'with a mask of tokens': { mask: rows() },
  'with a mask of pairs': { mask: { shape: [batch, sequence, sequence], nodes: [asInt32] } },
  'with the ends of sequences': {
    mask: {
      shape: [batch, sequence],
      nodes: [
        ['ReduceSum', ['attention_mask', 'axes'], ['ends'], { keepdims: 0 }],
        ['Cast', ['ends'], ['mask'], { to: int32 }],
      ],
    },
  },
  'that looks back only': { attributes: { unidirectional: 1, scale: 0.6 } },
  'with a cache': { cached: true, mask: rows(true), attributes: { unidirectional: 1 } },
  'with a bias of positions': {
    relative: true,
    mask: rows(),
    attributes: { mask_filter_value: -50 },
  },
  'with wider values': { out: 28, attributes: { qkv_hidden_sizes: [8, 8, 12] } },
};

function writeGraph({ mask, cached, relative, attributes, out = 24 }: Variant): string {
  const path = join(folder, `${count++}.onnx`);
  const optional = (is: boolean | undefined, name: string): string => (is === true ? name : '');
  const values = out - 16;
  const inputs = [
    'x',
    'qkv',
    'qkv.bias',
    optional(mask !== undefined, 'mask'),
    optional(cached, 'past'),
    optional(relative, 'positions'),
  ];
  const nodes: NodeLine[] = [
    ...(mask?.nodes ?? []),
    [
      'com.microsoft:Attention',
      inputs,
      cached === true ? ['context', 'present'] : ['context'],
      { num_heads: 2, ...attributes },
    ],
    ['MatMul', ['context', 'o'], ['f']],
    ['Add', ['x', 'f'], ['y']],
  ];
  const stream = [batch, sequence, width];
  const cache = [2, batch, 2, past, width / 2];
  writeFileSync(
    path,
    modelBytes({
      inputs: {
        x: stream,
        ...(mask && { attention_mask: mask.shape }),
        ...(cached === true ? { past: cache } : {}),
      },
      outputs: {
        y: stream,
        ...(cached === true ? { present: cache.with(3, past + sequence) } : {}),
      },
      nodes,
      initializers: [
        rawTensor('qkv', [width, out]),
        rawTensor('qkv.bias', [out]),
        rawTensor('o', [values, width]),
        rawTensor('positions', [1, 2, sequence, sequence]),
        intTensor('axes', [1]),
      ],
    }),
  );
  return path;
}

function example({ mask, cached }: Variant): Example {
  const floats = (dims: readonly number[]) => {
    const length = dims.reduce((product, size) => product * size, 1);
    const data = Float32Array.from({ length }, (_, i) => Math.sin(3 * i + dims.length));
    return { dtype: 'F32' as const, dims, data };
  };
  const size = (mask?.shape ?? []).reduce((product, axis) => product * axis, 1);
  // The last tokens of the second sequence are padding.
  const seen = BigInt64Array.from({ length: size }, (_, i) => (i > size - 2 ? 0n : 1n));
  return {
    x: floats([batch, sequence, width]),
    ...(mask && { attention_mask: { dtype: 'I64' as const, dims: mask.shape, data: seen } }),
    ...(cached === true ? { past: floats([2, batch, 2, past, width / 2]) } : {}),
  };
}

describe('a fused attention', () => {
  it.each(Object.entries(variants))('%s is parted to the same', async (_, variant) => {
    const model = await OnnxLayeredModel.open(writeGraph(variant));
    const layers = listLayers(model);
    const { out = 24 } = variant;
    expect(layers.map(({ id, role, out: size }) => [id, role, size])).toEqual([
      ['qkv', 'query-key-value', out],
      ['o', 'output', width],
    ]);
    const input = example(variant);
    const expected = await computeOutputs(model, [input]);
    const copied = await withEncodings(model, scratch(), await denseForms(layers));
    expect(copied.summary.sublayers.map(({ id }) => id)).toEqual(['block.0.attention']);
    const [attention] = model.summary.sublayers;
    expect(attention?.kvBytesPerToken).toBe(variant.cached === true ? 2 * 2 * (width / 2) * 4 : 0);
    expect(relativeError(await computeOutputs(copied, [input]), expected)).toBeLessThan(1e-6);
    const formed = await withEncodings(model, scratch(), floatForms(layers));
    expect(relativeError(await computeOutputs(formed, [input]), expected)).toBeGreaterThan(1e-3);
  });

  it.each<[string, Variant, RegExp]>([
    [
      'whose mask may hold starts as well as ends',
      { mask: { shape: [2 * batch], nodes: [asInt32] } },
      /masked by a tensor of 1 dimensions/,
    ],
    [
      'with a mask of four dimensions',
      { mask: { shape: [batch, 1, sequence, sequence], nodes: [asInt32] } },
      /masked by a tensor of 4 dimensions/,
    ],
    ['that turns its queries', { attributes: { do_rotary: 1 } }, /do_rotary/],
  ])('%s stays as it is, and the model gives the reason', async (_, variant, problem) => {
    const model = await OnnxLayeredModel.open(writeGraph(variant));
    expect(listLayers(model).map(({ id }) => id)).toEqual(['o']);
    expect(model.unusableMatrices).toEqual([
      { name: 'qkv', problem: expect.stringMatching(problem) as string },
    ]);
  });
});
