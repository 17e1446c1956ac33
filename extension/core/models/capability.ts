import { UserError } from '../user-error';
import type { ErrorCode } from '../error-codes';
import { say } from '../message';
import type { Message } from '../message';
import type { ModelSummary } from './model-summary';

/** Why something cannot be done, and the way out. */
export interface Refusal {
  readonly code: ErrorCode;
  /** One sentence. */
  readonly reason: Message;
  /** Suggested fix, as one sentence. */
  readonly remedy: Message;
  /** File at fault, if it isn't the model itself, and the key or field in it. */
  readonly file?: string;
  readonly field?: string;
}

/** Result of a check: supported, or refused with a reason. */
export type Capability = { readonly able: true } | ({ readonly able: false } & Refusal);

/** Capability that a model has. */
export const able: Capability = { able: true };

export function unable(code: ErrorCode, reason: Message, remedy: Message): Capability {
  return { able: false, code, reason, remedy };
}

/** True if sublayers have their own weights, so that each can be changed separately. */
export function hasOwnParts({ fixed }: Pick<ModelSummary, 'fixed'>): Capability {
  return fixed === undefined
    ? able
    : unable('shared-weights', fixed, say`Choose a model whose blocks don't share weights.`);
}

/** `undefined` for possible actions. */
export function toRefusal(capability: Capability): Refusal | undefined {
  return capability.able ? undefined : capability;
}

/** @throws UserError with the reason and the remedy, for what cannot be done. */
export function requireAble(capability: Capability, file: string, field?: string): void {
  if (!capability.able) {
    throw refused(capability, file, field);
  }
}

/** Error for a refusal. */
export function refused(refusal: Refusal, file: string, field?: string): UserError {
  // The given field belongs to the given file.
  const at = refusal.file === undefined ? (refusal.field ?? field) : refusal.field;
  return new UserError(refusal.code, refusal.reason, {
    file: refusal.file ?? file,
    ...(at === undefined ? {} : { field: at }),
    remedy: refusal.remedy,
  });
}
