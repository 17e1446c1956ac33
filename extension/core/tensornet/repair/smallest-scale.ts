import { rootMeanSquare } from '../../linear-algebra/squares';
import { floatsIn } from '../../runtime/tensors';
import type { TrainableModel } from '../../training/trainable-model';

/** The least root mean square among a model's parameters: what learning rates are measured by. */
export async function smallestScale(model: TrainableModel): Promise<number> {
  const scales = Object.values(await model.initial()).map((tensor) =>
    rootMeanSquare(floatsIn(tensor)),
  );
  return Math.min(...scales);
}
