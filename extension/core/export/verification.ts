import { formatError, formatPercent } from '../format';
import { counted, say } from '../message';
import type { Message } from '../message';

/** The re-opened result against the source model with the sublayers skipped. */
export interface Verification {
  /** max |a − b| / max |a| over the logits compared. */
  readonly relativeError: number;
  readonly tolerance: number;
  /** Share of tokens with the same most likely next token. Absent if the model has no logits for each token. */
  readonly top1Agreement?: number;
  /** Number of tokens whose logits were compared, or of examples. */
  readonly tokens: number;
  /** Present where the model was run on examples of its inputs. */
  readonly examples?: boolean;
}

/** Amount that was compared, such as `64 tokens`. */
export function describeCompared({
  tokens,
  examples,
}: Pick<Verification, 'tokens' | 'examples'>): Message {
  return counted(tokens, examples === true ? 'example' : 'token');
}

/** Sentence that says what was checked: `Verified: it opens and runs, top-1 agreement with the plan 98 % on 64 tokens.` */
export function describeVerification(verification: Verification): Message {
  const { top1Agreement: agreement, relativeError } = verification;
  const compared = describeCompared(verification);
  return agreement === undefined
    ? say`Verified: it opens and runs, relative error against the plan ${formatError(relativeError)} on ${compared}.`
    : say`Verified: it opens and runs, top-1 agreement with the plan ${formatPercent(agreement)} on ${compared}.`;
}
