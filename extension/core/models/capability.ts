import { UserError } from '../user-error';
import type { ErrorPlace } from '../user-error';
import { say } from '../message';
import type { Message } from '../message';
import type { ModelSummary } from './model-summary';

/** Why something cannot be done, and the way out. */
export interface Refusal {
  /** Stable: for tests, telemetry-free logs and programs that read JSON. */
  readonly code: RefusalCode;
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

/** Machine-readable reason for a refusal. */
export type RefusalCode =
  // The model as a whole.
  | 'dtype-not-runnable'
  | 'no-text-input'
  | 'no-tokenizer'
  | 'sees-whole-input'
  | 'no-logits'
  | 'no-key-value-cache'
  | 'none-of-kind'
  | 'shared-weights'
  | 'nothing-to-compress'
  | 'nothing-to-patch'
  | 'no-widths'
  | 'keeps-own-packing'
  // Export.
  | 'format-not-reachable'
  | 'not-in-gguf'
  | 'stays-deci'
  | 'needs-no-module'
  | 'nothing-compressed'
  | 'several-widths'
  | 'several-streams'
  | 'several-towers'
  | 'nothing-patchable'
  | 'no-modelling-file'
  | 'single-sublayers'
  | 'uneven-experts'
  | 'uneven-widths'
  | 'size-not-multiple'
  | 'head-size-not-expressible'
  | 'biases-not-expressible'
  | 'patches-not-expressible'
  | 'matrices-not-expressible'
  | 'experts-not-expressible'
  | 'zeros-not-expressible'
  | 'config-not-rewritable'
  | 'tied-embedding'
  | 'blocks-not-removable'
  | 'family-not-known';

export const able: Capability = { able: true };

export function unable(code: RefusalCode, reason: Message, remedy: Message): Capability {
  return { able: false, code, reason, remedy };
}

/** True if sublayers have their own weights, so that each can be changed separately. */
export function hasOwnParts({ fixed }: Pick<ModelSummary, 'fixed'>): Capability {
  return fixed === undefined
    ? able
    : unable('shared-weights', fixed, say`Choose a model whose blocks don't share weights.`);
}

/** `undefined` for what can be done. */
export function toRefusal(capability: Capability): Refusal | undefined {
  return capability.able ? undefined : capability;
}

/** @throws UserError with the reason and the remedy, for what cannot be done. */
export function requireAble(capability: Capability, file: string, field?: string): void {
  if (!capability.able) {
    throw refused(capability, file, field);
  }
}

/** Error of a refusal, with its code. */
class RefusedError extends UserError {
  public readonly code: RefusalCode;

  public constructor({ code, reason, remedy }: Refusal, place: ErrorPlace) {
    super(reason, { ...place, remedy });
    this.code = code;
  }
}

/** Error for a refusal. */
export function refused(refusal: Refusal, file: string, field?: string): RefusedError {
  // The field given is one of the file given.
  const at = refusal.file === undefined ? (refusal.field ?? field) : refusal.field;
  return new RefusedError(refusal, {
    file: refusal.file ?? file,
    ...(at === undefined ? {} : { field: at }),
  });
}
