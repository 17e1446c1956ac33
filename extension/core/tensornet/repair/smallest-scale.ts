import { rootMeanSquare } from '../../linear-algebra/squares';
import { floatsIn } from '../../runtime/tensors';
import type { TrainableModel } from '../../training/trainable-model';

/** Smallest root mean square of a model's parameters that aren't all zeros, or 1; learning rates are relative to it. */
export async function smallestScale(model: Pick<TrainableModel, 'initial'>): Promise<number> {
  const scales = Object.values(await model.initial())
    .map((tensor) => rootMeanSquare(floatsIn(tensor)))
    .filter((scale) => scale > 0);
  return scales.length === 0 ? 1 : Math.min(...scales);
}
