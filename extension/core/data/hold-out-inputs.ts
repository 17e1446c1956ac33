import type { ErrorCode } from '../error-codes';
import { UserError } from '../user-error';
import type { Message } from '../message';
import { say } from '../message';

/** Share of all inputs in each held-out part. */
const share = 0.2;

/**
 * Holds out the last inputs as consecutive parts.
 * @param need purpose of the inputs, as a sentence
 * @throws UserError if no inputs would be left for training.
 */
export function holdOutInputs<T>(
  inputs: readonly T[],
  parts: number,
  code: ErrorCode,
  need: Message,
): { readonly train: readonly T[]; readonly heldOut: readonly (readonly T[])[] } {
  if (inputs.length <= parts) {
    throw new UserError(code, need, { field: 'sequences', remedy: say`Choose a longer text.` });
  }
  const count = Math.max(1, Math.round(share * inputs.length));
  const first = inputs.length - parts * count;
  const heldOut = Array.from({ length: parts }, (_, part) =>
    inputs.slice(first + part * count, first + (part + 1) * count),
  );
  return { train: inputs.slice(0, first), heldOut };
}
