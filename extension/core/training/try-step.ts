import type { Tensors } from '../runtime/tensors';
import type { Trainer } from './trainer';
import { UserError } from '../user-error';

/** One step; false where the loss left the finite numbers, after which nothing is gained. */
export async function tryStep(trainer: Trainer, batch: Tensors): Promise<boolean> {
  try {
    await trainer.train(batch);
    return true;
  } catch (error) {
    if (error instanceof UserError) {
      return false;
    }
    throw error;
  }
}
