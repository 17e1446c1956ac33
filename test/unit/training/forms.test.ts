import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { TensorData } from '../../../extension/core/checkpoints/lazy-tensor';
import type { LayeredModel } from '../../../extension/core/models/layered-model';
import type { LinearLayer, MatrixEncoding } from '../../../extension/core/models/matrix-encoding';
import { openModel } from '../../../extension/core/models/open-model';
import { floatOutput, int64Tensor } from '../../../extension/core/runtime/tensors';
import type { Tensors } from '../../../extension/core/runtime/tensors';
import { trainableTransformer } from '../../../extension/core/training/trainable-transformer';
import { fixture, readJson, relativeError } from '../fixtures';
import { denseForm, listLayers, withEncodings } from '../models/encodings/layered';
import { contracted, FormMaker } from '../models/encodings/made-forms';
import { temporaryFolder } from '../temporary-folder';
import { computeGradients } from './gradients-of';

const folder = temporaryFolder();
let count = 0;
const name = 'llama-gqa-untied';

async function formed(
  model: LayeredModel,
  { id }: LinearLayer,
  form: MatrixEncoding<TensorData>,
): Promise<LayeredModel> {
  return withEncodings(model, join(folder, `${count++}.safetensors`), new Map([[id, form]]));
}

async function trained(model: LayeredModel): Promise<Tensors> {
  const { inputIds } = readJson<{ inputIds: number[][] }>(name, 'golden.json');
  const [ids = []] = inputIds;
  const row = (values: number[]) => int64Tensor(values, [1, ids.length]);
  return computeGradients(trainableTransformer(model), {
    input_ids: row(ids),
    attention_mask: row(ids.map(() => 1)),
    position_ids: row([...ids.keys()]),
    labels: row([...ids.slice(1), ids[0] ?? 0]),
  });
}

describe('training a model with other forms of its matrices', () => {
  it('returns the gradients of low-rank factors by the chain rule', async () => {
    const model = await openModel(fixture(name));
    const layer = listLayers(model).find(({ role }) => role === 'down');
    if (layer === undefined) {
      throw new Error('the model has no such layer');
    }
    const { id, out, in: input } = layer;
    const rank = 4;
    const form = new FormMaker(5).lowRank(out, input, rank);
    const low = await trained(await formed(model, layer, form));
    const plain = await trained(await formed(model, layer, denseForm(contracted(form), layer)));
    const whole = floatOutput(plain, `gradient/${id}.weight`);
    const [left, right] = [contracted(form.left), contracted(form.right)];
    // y = L·R·x: ∂L = G·Rᵀ and ∂R = Lᵀ·G with G the gradient of the product.
    const leftGradient = Float32Array.from({ length: out * rank }, (_, place) => {
      const [o, r] = [Math.floor(place / rank), place % rank];
      let sum = 0;
      for (let i = 0; i < input; i++) {
        sum += (whole[o * input + i] ?? 0) * (right[r * input + i] ?? 0);
      }
      return sum;
    });
    const rightGradient = Float32Array.from({ length: rank * input }, (_, place) => {
      const [r, i] = [Math.floor(place / input), place % input];
      let sum = 0;
      for (let o = 0; o < out; o++) {
        sum += (left[o * rank + r] ?? 0) * (whole[o * input + i] ?? 0);
      }
      return sum;
    });
    const of = (part: string) => floatOutput(low, `gradient/${id}.${part}.weight`);
    expect(relativeError(of('left'), leftGradient)).toBeLessThan(1e-5);
    expect(relativeError(of('right'), rightGradient)).toBeLessThan(1e-5);
  });

  it('has the same gradients for contracted and chained cores', async () => {
    const model = await openModel(fixture(name));
    const [layer] = listLayers(model);
    if (layer === undefined) {
      throw new Error('the model has no linear layer');
    }
    const sites = { out: [6, layer.out / 6], in: [6, layer.in / 6] };
    const chained = new FormMaker(6).mpo(sites, 3, 'chained', true);
    const [first, second] = [
      await trained(await formed(model, layer, chained)),
      await trained(await formed(model, layer, { ...chained, run: 'contracted' })),
    ];
    for (const part of ['core.0', 'core.1', 'input_scale']) {
      const [a, b] = [first, second].map((all) => floatOutput(all, `gradient/${layer.id}.${part}`));
      expect(Math.max(...(b ?? []).map(Math.abs))).toBeGreaterThan(0);
      expect(relativeError(a ?? new Float32Array(), b ?? new Float32Array())).toBeLessThan(1e-5);
    }
  });

  it('is refused for quantized matrices', async () => {
    const model = await openModel(fixture(name));
    const [layer] = listLayers(model);
    if (layer === undefined) {
      throw new Error('the model has no linear layer');
    }
    const quantized = await formed(model, layer, new FormMaker(7).int8(layer.out, layer.in));
    expect(() => trainableTransformer(quantized)).toFailWith({
      code: 'weights-quantized',
      file: 'llama-gqa-untied',
      field: 'model.layers.0.self_attn.q_proj.weight.quants',
    });
  });
});
