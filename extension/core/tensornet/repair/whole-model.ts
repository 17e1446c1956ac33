import { rootMeanSquare } from '../../linear-algebra/squares';
import { encodingParameters, encodingSizes } from '../../models/encodings/encoding-facts';
import type { LayeredModel } from '../../models/layered-model';
import type { MatrixEncoding } from '../../models/matrix-encoding';
import { routerLayers } from '../../models/router-layers';
import { floatsIn } from '../../runtime/tensors';
import { adapterProduct } from '../../training/adapted-model';
import type { AdaptableMatrix } from '../../training/adapters';
import type { TrainableModel } from '../../training/trainable-model';
import {
  adaptableMatrices,
  adaptedTransformer,
  sublayerOutputs,
  trainableTransformer,
} from '../../training/trainable-transformer';
import { smallestScale } from './smallest-scale';
import { differentiable, trainedTensors } from './trainable-encoding';
import type { NumbersByName } from './trainable-encoding';

/** Rank of adapters. */
const adapterRank = 16;

/** Number of trained parameters: those of adapters, and of directly trained encodings. */
export function trainedNumbers(
  student: LayeredModel,
  forms: ReadonlyMap<string, MatrixEncoding>,
): number {
  const isRouter = routerMatcher(student);
  return [...forms]
    .map(([id, form]) => {
      const { out, in: width } = encodingSizes(form);
      return form.kind === 'dense' && !isRouter(id)
        ? adapterRank * (out + width)
        : encodingParameters(form);
    })
    .reduce((sum, count) => sum + count, 0);
}

/** Routers are trained directly: they are small. */
function routerMatcher(student: LayeredModel): (id: string) => boolean {
  const ids = new Set(routerLayers(student).map(({ id }) => id));
  return (id) => ids.has(id);
}

/** Whole model to train: dense matrices by adapters if possible, everything else directly. */
export interface WholeModel {
  readonly model: TrainableModel;
  /** Names of the residual stream after each sublayer. */
  readonly streams: readonly string[];
  /** Scale of the trained parameters; learning rates are relative to it. */
  readonly unit: number;
  /** True if only routers are trained. */
  readonly onlyRouters: boolean;
  /** Converts values of the model's parameters to values of the encodings' tensors. */
  readonly merged: (numbers: ReadonlyMap<string, Float32Array>) => NumbersByName;
}

/** @throws UserError if the model is a graph, or its weights are quantized */
export async function wholeModel(
  student: LayeredModel,
  forms: ReadonlyMap<string, MatrixEncoding>,
  seed: number,
): Promise<WholeModel> {
  const changed = new Map([...forms].map(([id, form]) => [id, differentiable(form)] as const));
  const emitted = student.withMatrices(changed);
  const simple = adaptableMatrices(emitted);
  const [adapted, own] = [new Set<string>(), new Set<string>()];
  const isRouter = routerMatcher(student);
  for (const [id, form] of forms) {
    for (const { name } of trainedTensors(form)) {
      (form.kind === 'dense' && simple.has(name) && !isRouter(id) ? adapted : own).add(name);
    }
  }
  const weights = trainableTransformer(emitted, adapted);
  const unit = own.size === 0 ? 1 : await smallestScale(trainableTransformer(emitted, own));
  const byName = new Map(weights.parameters.map((weight) => [weight.name, weight]));
  /** Reads one weight at a time: all of them in float32 may not fit into memory. */
  const readNumbers = async (name: string): Promise<Float32Array | undefined> => {
    const weight = byName.get(name);
    const numbers = weight === undefined ? undefined : (await weights.read([weight]))[name];
    return numbers === undefined ? undefined : floatsIn(numbers);
  };
  const matrices: AdaptableMatrix[] = [];
  for (const { name, shape } of weights.parameters) {
    const [out, width] = shape;
    const numbers = await readNumbers(name);
    if (numbers !== undefined && out !== undefined && width !== undefined) {
      matrices.push({ name, out, in: width, rootMeanSquare: rootMeanSquare(numbers) });
    }
  }
  const model = adaptedTransformer(emitted, own, matrices, { rank: adapterRank, unit, seed });
  const adapters = new Map(model.adapters.map((adapter) => [adapter.weight, adapter]));
  const merged =
    (numbers: ReadonlyMap<string, Float32Array>): NumbersByName =>
    async (name) => {
      const adapter = adapters.get(name);
      const given = adapter === undefined ? undefined : await readNumbers(name);
      if (adapter === undefined || given === undefined) {
        return numbers.get(name);
      }
      const sum = adapterProduct(adapter, numbers);
      given.forEach((value, i) => {
        sum[i] = (sum[i] ?? 0) + value;
      });
      return sum;
    };
  const onlyRouters = [...forms.keys()].every(isRouter);
  return { model, streams: sublayerOutputs(emitted), unit, onlyRouters, merged };
}
