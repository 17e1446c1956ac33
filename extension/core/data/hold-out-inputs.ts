import { UserError } from '../user-error';
import type { Message } from '../message';
import { say } from '../message';

/** Share of all inputs in each part that is held out. */
const share = 0.2;

/**
 * Holds the last inputs out, in as many parts as asked for, one behind the other.
 * @param need what inputs are needed for, as a sentence
 * @throws UserError where nothing would be left to train on.
 */
export function holdOutInputs<T>(
  inputs: readonly T[],
  parts: number,
  need: Message,
): { readonly train: readonly T[]; readonly heldOut: readonly (readonly T[])[] } {
  if (inputs.length <= parts) {
    throw new UserError(need, { field: 'sequences', remedy: say`Give more text.` });
  }
  const count = Math.max(1, Math.round(share * inputs.length));
  const first = inputs.length - parts * count;
  const heldOut = Array.from({ length: parts }, (_, part) =>
    inputs.slice(first + part * count, first + (part + 1) * count),
  );
  return { train: inputs.slice(0, first), heldOut };
}
