import { floatsIn } from '../../runtime/tensors';
import type { TrainableModel } from '../../training/trainable-model';

/** The least root mean square among a model's parameters: what learning rates are measured by. */
export async function smallestScale(model: TrainableModel): Promise<number> {
  const scales = Object.values(await model.initial()).map((tensor) => {
    const numbers = floatsIn(tensor);
    const squares = numbers.reduce((sum, x) => sum + x * x, 0);
    return Math.sqrt(squares / Math.max(1, numbers.length));
  });
  return Math.min(...scales);
}
