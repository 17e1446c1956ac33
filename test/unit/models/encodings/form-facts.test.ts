import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { LazyTensor, TensorData } from '../../../../extension/core/checkpoints/lazy-tensor';
import { openSafetensors } from '../../../../extension/core/checkpoints/safetensors';
import {
  encodingFlops,
  encodingMemory,
  encodingParameters,
  encodingTensors,
} from '../../../../extension/core/models/encodings/encoding-facts';
import { storeEncodings } from '../../../../extension/core/models/encodings/store-encodings';
import type { GraphPart } from '../../../../extension/core/models/layered-model';
import type {
  LinearLayer,
  MatrixEncoding,
} from '../../../../extension/core/models/matrix-encoding';
import { openModel } from '../../../../extension/core/models/open-model';
import { readBytes } from '../../../../extension/core/checkpoints/read-tensor';
import { rejection } from '../../export/pruning';
import { fixture } from '../../fixtures';
import { onnxFixture } from '../../onnx-fixtures';
import { temporaryFolder } from '../../temporary-folder';
import { listLayers, withEncodings } from './layered';
import { FormMaker } from './made-forms';

const folder = temporaryFolder();
let count = 0;

function scratch(): string {
  return join(folder, `${count++}.safetensors`);
}

async function placed(form: MatrixEncoding<TensorData>): Promise<MatrixEncoding> {
  const stored = (await storeEncodings(scratch(), new Map([['w', form]]))).get('w');
  return stored ?? lost();
}

function lost(): never {
  throw new Error('the form has been lost');
}

const make = new FormMaker(2);
const sites = { out: [2, 4, 3], in: [4, 2, 6] };

describe('size and FLOPs of an encoding', () => {
  it('are those of its factors at low rank', async () => {
    const form = await placed(make.lowRank(24, 48, 6));
    expect(encodingParameters(form)).toBe(6 * (24 + 48));
    expect(encodingFlops(form)).toBe(2 * 6 * (24 + 48));
    expect(encodingMemory(form)).toBe(4 * 6 * (24 + 48));
  });

  it('are those of each MPO core, or of the matrix if cores are contracted', async () => {
    const chained = await placed(make.mpo(sites, 3, 'chained'));
    const cores = 1 * 2 * 4 * 3 + 3 * 4 * 2 * 4 + 4 * 3 * 6 * 1;
    expect(encodingParameters(chained)).toBe(cores);
    expect(encodingMemory(chained)).toBe(4 * cores);
    // Each core meets the outputs made so far and the inputs left.
    const products = 24 * (2 * 6) + 96 * (2 * 6) + 72 * (2 * 4);
    expect(encodingFlops(chained)).toBe(2 * products);
    const contracted = await placed(make.mpo(sites, 3, 'contracted'));
    expect(encodingParameters(contracted)).toBe(cores);
    expect(encodingFlops(contracted)).toBe(2 * 24 * 48);
    expect(encodingMemory(contracted)).toBe(4 * 24 * 48);
  });

  it('counts each quantized number as a weight, with its stored bytes', async () => {
    const form = await placed(
      make.blocks(24, 64, { bits: 4, groupSize: 32, run: 'matmul-nbits', asymmetric: true }),
    );
    expect(encodingParameters(form)).toBe(24 * 64);
    expect(encodingMemory(form)).toBe((24 * 64) / 2 + 24 * 2 * 4 + 24);
    expect(encodingFlops(form)).toBe(2 * 24 * 64);
    const int8 = await placed(make.int8(24, 64));
    expect(encodingParameters(int8)).toBe(24 * 64);
    expect(encodingMemory(int8)).toBe(24 * 64 + 24 * 4);
  });
});

describe('forms in a file', () => {
  it('are copied unchanged, with aligned multi-byte numbers', async () => {
    const forms = new Map<string, MatrixEncoding<TensorData>>([
      ['a', make.int8(3, 5)],
      ['b', make.blocks(3, 16, { bits: 4, groupSize: 16, run: 'qdq', asymmetric: true })],
      ['c', make.mpo(sites, 2, 'chained', true)],
    ]);
    const path = scratch();
    const stored = await storeEncodings(path, forms);
    const { tensors } = await openSafetensors(path);
    expect([...tensors.keys()].sort()).toEqual(
      [
        ...['a.quants', 'a.scales', 'b.quants', 'b.scales', 'b.zeros'],
        ...['c.core.0', 'c.core.1', 'c.core.2', 'c.input_scale'],
      ].sort(),
    );
    for (const [id, form] of forms) {
      const places = encodingTensors<LazyTensor>(stored.get(id) ?? lost());
      for (const [i, data] of encodingTensors(form).entries()) {
        const place = tensors.get(places[i]?.name ?? '');
        expect(places[i]).toEqual(place);
        expect(place?.shape).toEqual(data.shape);
        expect(place && (await readBytes(place, 1 << 20))).toEqual(Buffer.from(data.bytes));
        expect((place?.offset ?? 1) % (data.dtype === 'F32' ? 4 : 1)).toBe(0);
      }
    }
  });
});

describe('a model with other forms', () => {
  it('are summarized', async () => {
    const model = await openModel(fixture('llama-gqa-untied'));
    const [query, , , , gate] = listLayers(model);
    if (query === undefined || gate === undefined) {
      throw new Error('the model lacks layers');
    }
    const low = make.lowRank(query.out, query.in, 3);
    const few = make.blocks(gate.out, gate.in, { bits: 4, groupSize: 16, run: 'matmul-nbits' });
    const forms = new Map<string, MatrixEncoding<TensorData>>([
      [query.id, low],
      [gate.id, few],
    ]);
    const formed = await withEncodings(model, scratch(), forms);
    const [before, after] = [model.summary, formed.summary];
    const lessWeights = query.out * query.in - 3 * (query.out + query.in);
    expect(before.parameters - after.parameters).toBe(lessWeights);
    const bytes = (form: MatrixEncoding<TensorData>) =>
      encodingTensors(form).reduce((sum, tensor) => sum + tensor.bytes.length, 0);
    const lessBytes = query.weight.length + gate.weight.length - bytes(low) - bytes(few);
    expect(before.bytes - after.bytes).toBe(lessBytes);
    const [attention, feedforward, ...others] = after.sublayers;
    expect(before.sublayers[0]?.parameters).toBe((attention?.parameters ?? 0) + lessWeights);
    expect(before.sublayers[0]?.flopsPerToken).toBe(
      (attention?.flopsPerToken ?? 0) + 2 * lessWeights,
    );
    expect(feedforward?.parameters).toBe(before.sublayers[1]?.parameters);
    expect(feedforward?.flopsPerToken).toBe(before.sublayers[1]?.flopsPerToken);
    expect(feedforward?.bytes).toBe(
      (before.sublayers[1]?.bytes ?? 0) - gate.weight.length + bytes(few),
    );
    expect(others).toEqual(before.sublayers.slice(2));
    expect(after.dtypes['U8']).toBe(few.quants.bytes.length);
    expect(Object.values(after.dtypes).reduce((sum, one) => sum + one, 0)).toBe(after.bytes);
    expect(after.fingerprint).not.toBe(before.fingerprint);
    expect(formed.files).toHaveLength(model.files.length + 1);
    expect(attention?.kvBytesPerToken).toBe(before.sublayers[0]?.kvBytesPerToken);
  });

  it.each([fixture('llama-gqa-untied'), onnxFixture('llama-legacy')])(
    'requests session options for it, and repacking of few bits (%s)',
    async (path) => {
      const model = await openModel(path);
      const layers = listLayers(model).filter(({ sublayer }) => sublayer === 1);
      const [first] = layers;
      if (first === undefined) {
        throw new Error('the model lacks layers');
      }
      const { id, out, in: input } = first;
      const toBytes = async (form: MatrixEncoding<TensorData>) => {
        const formed = await withEncodings(model, scratch(), new Map([[id, form]]));
        return formed.sublayer(1).part;
      };
      const dense = model.sublayer(1).part;
      expect(dense.needsPrepacking).toBe(false);
      const mpo = make.mpo({ out: [2, out / 2], in: [2, input / 2] }, 2, 'contracted');
      const contracted = await toBytes(mpo);
      // Graphs of files count the few numbers of shapes as well, and a row of ones.
      const expectLess = (part: GraphPart, bytes: number): void => {
        expect(Math.abs(dense.bytes - part.bytes - bytes)).toBeLessThan(100 + input);
      };
      expectLess(contracted, 0);
      expect(contracted.needsPrepacking).toBe(false);
      const chained = await toBytes({ ...mpo, run: 'chained' });
      const numbers = 2 * 2 * 2 + 2 * (out / 2) * (input / 2);
      expectLess(chained, 4 * (out * input - numbers));
      const int8 = await toBytes(make.int8(out, input));
      expectLess(int8, 4 * out * input - (out * input + 4 * out));
      expect(int8.needsPrepacking).toBe(true);
    },
  );

  const wrong: readonly (readonly [
    string,
    (layer: LinearLayer) => MatrixEncoding<TensorData>,
    RegExp,
  ])[] = [
    [
      'of another size',
      ({ out, in: input }) => make.dense(out + 1, input),
      /A matrix of 49 × 48 cannot replace one of 48 × 48/,
    ],
    [
      'of factors that do not meet',
      ({ out, in: input }) => ({ ...make.lowRank(out, input, 4), left: make.dense(out, 5) }),
      /don't share the rank 4/,
    ],
    [
      'of a core of another shape',
      () => ({ ...make.mpo({ out: [6, 8], in: [6, 8] }, 3, 'chained'), bonds: [4] }),
      /core\.0: It is F32 \[1, 6, 6, 3\], expected F32 or F16 or BF16 \[1, 6, 6, 4\]/,
    ],
    [
      'in blocks that are no power of two',
      ({ out, in: input }) => make.blocks(out, input, { bits: 4, groupSize: 24, run: 'qdq' }),
      /The group size 24 is not a power of two/,
    ],
    [
      'of bytes where floats are needed',
      ({ out, in: input }) => ({
        kind: 'dense',
        weight: { dtype: 'U8', shape: [out, input], bytes: new Uint8Array(out * input) },
      }),
      /It is U8/,
    ],
  ];

  it.each(wrong)('is refused with one %s', async (_, form, message) => {
    const model = await openModel(fixture('llama-gqa-untied'));
    const [layer] = listLayers(model);
    const { id } = layer ?? { id: '' };
    const forms = new Map([[id, form(layer ?? ({} as LinearLayer))]]);
    expect((await rejection(withEncodings(model, scratch(), forms))).message).toMatch(message);
  });

  it('is refused with one of a layer that it lacks', async () => {
    const model = await openModel(fixture('llama-gqa-untied'));
    const forms = new Map([['model.layers.9.mlp.up_proj.weight', make.dense(4, 4)]]);
    const { message } = await rejection(withEncodings(model, scratch(), forms));
    expect(message).toMatch(
      /model\.layers\.9\.mlp\.up_proj\.weight: .*no linear layer of this name/,
    );
  });
});
