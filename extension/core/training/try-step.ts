import type { Tensors } from '../runtime/tensors';
import type { Trainer } from './trainer';
import { UserError } from '../user-error';

/** Trains one step; returns false if the loss isn't finite, after which training can't continue. */
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
