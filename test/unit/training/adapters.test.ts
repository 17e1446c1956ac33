import { describe, expect, it } from 'vitest';
import { rootMeanSquare } from '../../../extension/core/linear-algebra/small-matrix';
import { openModel } from '../../../extension/core/models/open-model';
import { floatOutput, floatTensor, int64Tensor } from '../../../extension/core/runtime/tensors';
import type { Tensor, Tensors } from '../../../extension/core/runtime/tensors';
import { smallestScale } from '../../../extension/core/tensornet/repair/trained-forms';
import { wholeModel } from '../../../extension/core/tensornet/repair/whole-model';
import { adapterProduct } from '../../../extension/core/training/adapters';
import type { AdaptedModel } from '../../../extension/core/training/adapters';
import {
  adaptedTransformer,
  trainableTransformer,
} from '../../../extension/core/training/trainable-transformer';
import type { TrainableModel } from '../../../extension/core/training/trainable-model';
import { fixture, readJson, relativeError } from '../fixtures';
import { listLayers } from '../models/encodings/layered';
import { computeGradients } from './gradients-of';

const name = 'llama-gqa-untied';
const options = { rank: 3, unit: 0.5, seed: 1 };

async function opened() {
  const model = await openModel(fixture(name));
  const few = listLayers(model).filter(({ sublayer }) => sublayer < 2);
  const matrices = few.map(({ weight, out, in: width }) => {
    return { name: weight.name, out, in: width, rootMeanSquare: 0.1 };
  });
  return { model, matrices };
}

function batch(): Tensors {
  const { inputIds } = readJson<{ inputIds: number[][] }>(name, 'golden.json');
  const [ids = []] = inputIds;
  const row = (values: number[]): Tensor => int64Tensor(values, [1, ids.length]);
  return {
    input_ids: row(ids),
    attention_mask: row(ids.map(() => 1)),
    position_ids: row([...ids.keys()]),
    labels: row([...ids.slice(1), ids[0] ?? 0]),
  };
}

/** The model with other numbers for some of its parameters. */
function withNumbers(
  model: TrainableModel,
  numbers: (name: string, tensor: Tensor) => Float32Array,
): TrainableModel {
  const { parameters, buffers, inputs } = model;
  const initial = async (): Promise<Tensors> =>
    Object.fromEntries(
      Object.entries(await model.initial()).map(([key, tensor]) => [
        key,
        floatTensor(numbers(key, tensor), tensor.dims),
      ]),
    );
  return { parameters, buffers, inputs, forward: (mode) => model.forward(mode), initial };
}

/** Numbers in (−1, 1) that differ from place to place. */
const waves = (size: number): Float32Array =>
  Float32Array.from({ length: size }, (_, i) => Math.sin(i));

async function readFactors(model: AdaptedModel): Promise<Map<string, Float32Array>> {
  const initial = await model.initial();
  return new Map(
    model.adapters.flatMap(({ left, right }) => [
      [left.name, waves(initial[left.name]?.size ?? 0)] as const,
      [right.name, floatOutput(initial, right.name)] as const,
    ]),
  );
}

describe('adapters of matrices', () => {
  it('change nothing at first, and have numbers of the size asked for', async () => {
    const { model, matrices } = await opened();
    const adapted = adaptedTransformer(model, new Set(), matrices, options);
    expect(adapted.adapters).toHaveLength(matrices.length);
    const [plain, found] = [
      await computeGradients(
        trainableTransformer(model, new Set([matrices[0]?.name ?? ''])),
        batch(),
      ),
      await computeGradients(adapted, batch()),
    ];
    expect(relativeError(floatOutput(found, 'output'), floatOutput(plain, 'output'))).toBeLessThan(
      1e-6,
    );
    const drawn = Object.values(await adapted.initial())
      .map((tensor) => Number(tensor.data[0]))
      .filter((value) => value !== 0);
    expect(drawn).toHaveLength(matrices.length);
    const size = Math.sqrt(drawn.reduce((sum, value) => sum + value ** 2, 0) / drawn.length);
    expect(size).toBeGreaterThan(0.25);
    expect(size).toBeLessThan(1);
  });

  it('compute as the matrices that they are merged into, and have the gradients of the chain rule', async () => {
    const { model, matrices } = await opened();
    const adapted = adaptedTransformer(model, new Set(), matrices, options);
    const factors = await readFactors(adapted);
    const plain = trainableTransformer(model, new Set(matrices.map((matrix) => matrix.name)));
    const sums = new Map(
      adapted.adapters.map((adapter) => [adapter.weight, adapterProduct(adapter, factors)]),
    );
    const merged = withNumbers(plain, (key, { data }) =>
      Float32Array.from(sums.get(key) ?? [], (value, i) => value + Number(data[i])),
    );
    const [wanted, found] = [
      await computeGradients(merged, batch()),
      await computeGradients(
        withNumbers(adapted, (key) => factors.get(key) ?? waves(0)),
        batch(),
      ),
    ];
    expect(relativeError(floatOutput(found, 'output'), floatOutput(wanted, 'output'))).toBeLessThan(
      1e-5,
    );
    for (const { weight, left, right, scale } of adapted.adapters) {
      const [out = 0, rank = 0] = left.shape;
      const [, width = 0] = right.shape;
      const whole = floatOutput(wanted, `gradient/${weight}`);
      const [l, r] = [left, right].map((factor) => factors.get(factor.name) ?? waves(0));
      // ∂left = scale · G·rightᵀ and ∂right = scale · leftᵀ·G with G the gradient of the matrix.
      const leftGradient = new Float32Array(out * rank);
      const rightGradient = new Float32Array(rank * width);
      for (let o = 0; o < out; o++) {
        for (let k = 0; k < rank; k++) {
          for (let i = 0; i < width; i++) {
            const g = scale * (whole[o * width + i] ?? 0);
            leftGradient[o * rank + k] =
              (leftGradient[o * rank + k] ?? 0) + g * (r?.[k * width + i] ?? 0);
            rightGradient[k * width + i] =
              (rightGradient[k * width + i] ?? 0) + g * (l?.[o * rank + k] ?? 0);
          }
        }
      }
      expect(relativeError(floatOutput(found, `gradient/${left.name}`), leftGradient)).toBeLessThan(
        1e-4,
      );
      expect(
        relativeError(floatOutput(found, `gradient/${right.name}`), rightGradient),
      ).toBeLessThan(1e-4);
    }
  });

  it('are left out if a matrix is also read in another way, which is then trained in steps of its size', async () => {
    const model = await openModel(fixture('llama-tied-f16'));
    const [embedding] = model.embeddingAndHeadMatrices;
    const { weight, id } = embedding ?? expect.fail('no embedding');
    const whole = await wholeModel(model, new Map([[id, { kind: 'dense', weight }]]), 1);
    expect(whole.model.parameters.map((parameter) => parameter.name)).toEqual([weight.name]);
    const numbers = floatOutput(await whole.model.initial(), weight.name);
    expect(whole.unit).toBeCloseTo(rootMeanSquare(numbers), 6);
  });

  it('have numbers of the size of the smallest tensor that is not zeros', async () => {
    const tensors = {
      zeros: floatTensor(new Float32Array(2), [2]),
      small: floatTensor(Float32Array.of(2, -2), [2]),
      large: floatTensor(Float32Array.of(3, 3), [2]),
    };
    const initial = async (): Promise<Tensors> => Promise.resolve(tensors);
    expect(await smallestScale({ initial })).toBe(2);
  });
});
