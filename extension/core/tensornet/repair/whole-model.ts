import { rootMeanSquare } from '../../linear-algebra/squares';
import { formParameters, formSizes } from '../../models/forms/form-facts';
import type { LayeredModel } from '../../models/layered-model';
import type { MatrixEncoding } from '../../models/matrix-encoding';
import { floatsIn } from '../../runtime/tensors';
import { adapterProduct } from '../../training/adapted-model';
import type { TrainableModel } from '../../training/trainable-model';
import {
  adaptableMatrices,
  adaptedTransformer,
  streamsBehind,
  trainableTransformer,
} from '../../training/trainable-transformer';
import { smallestScale } from './smallest-scale';
import { differentiable, trainedTensors } from './trainable-encoding';

/** Of adapters. */
const adapterRank = 16;

/** How many numbers training moves: those of adapters, and of forms that are trained themselves. */
export function trainedNumbers(forms: ReadonlyMap<string, MatrixEncoding>): number {
  return [...forms.values()]
    .map((form) => {
      const { out, in: width } = formSizes(form);
      return form.kind === 'dense' ? adapterRank * (out + width) : formParameters(form);
    })
    .reduce((sum, count) => sum + count, 0);
}

/** A whole model to be trained: dense matrices by adapters where they can have some, all else by its own tensors. */
export interface WholeModel {
  readonly model: TrainableModel;
  /** Names of the stream behind each sublayer. */
  readonly streams: readonly string[];
  /** Size of the numbers that are trained, which learning rates are measured by. */
  readonly unit: number;
  /** Numbers of the forms' tensors, by name, from numbers of the model's parameters. */
  readonly merged: (
    numbers: ReadonlyMap<string, Float32Array>,
  ) => Promise<ReadonlyMap<string, Float32Array>>;
}

/** @throws UserError where the model is a graph, or its weights are quantized. */
export async function wholeModel(
  student: LayeredModel,
  forms: ReadonlyMap<string, MatrixEncoding>,
  seed: number,
): Promise<WholeModel> {
  const changed = new Map([...forms].map(([id, form]) => [id, differentiable(form)] as const));
  const emitted = student.withMatrices(changed);
  const simple = adaptableMatrices(emitted);
  const [adapted, own] = [new Set<string>(), new Set<string>()];
  for (const form of forms.values()) {
    for (const { name } of trainedTensors(form)) {
      (form.kind === 'dense' && simple.has(name) ? adapted : own).add(name);
    }
  }
  const weights = trainableTransformer(emitted, adapted);
  const unit = own.size === 0 ? 1 : await smallestScale(trainableTransformer(emitted, own));
  const before = adapted.size === 0 ? {} : await weights.initial();
  const matrices = weights.parameters.flatMap(({ name, shape: [out, width] }) => {
    const numbers = before[name];
    return numbers === undefined || out === undefined || width === undefined
      ? []
      : [{ name, out, in: width, rootMeanSquare: rootMeanSquare(floatsIn(numbers)) }];
  });
  const model = adaptedTransformer(emitted, own, matrices, { rank: adapterRank, unit, seed });
  const merged = async (
    numbers: ReadonlyMap<string, Float32Array>,
  ): Promise<ReadonlyMap<string, Float32Array>> => {
    const result = new Map(numbers);
    const originals = model.adapters.length === 0 ? {} : await weights.initial();
    for (const adapter of model.adapters) {
      const matrix = originals[adapter.weight];
      if (matrix !== undefined) {
        const sum = adapterProduct(adapter, numbers);
        const given = floatsIn(matrix);
        given.forEach((value, i) => {
          sum[i] = (sum[i] ?? 0) + value;
        });
        result.set(adapter.weight, sum);
      }
    }
    return result;
  };
  return { model, streams: streamsBehind(emitted), unit, merged };
}
