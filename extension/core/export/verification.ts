import { formatError, formatPercent } from '../format';
import { counted, joined, say } from '../message';
import type { Message } from '../message';

/** The written GGUF file in llama.cpp. */
export interface LlamaCheck {
  /** Release of llama.cpp. */
  readonly release: string;
  /** Share of tokens with the plan's most likely next token; absent if it failed. */
  readonly top1Agreement?: number;
  /** Why llama.cpp can't run it. */
  readonly failure?: string;
}

/** The re-opened result against the source model with the sublayers skipped. */
export interface Verification {
  /** max |a − b| / max |a| over the logits compared; over 90 % of the tokens if rounding can change their experts. */
  readonly relativeError: number;
  readonly tolerance: number;
  /** Share of tokens with the same most likely next token. Absent if the model has no logits for each token. */
  readonly top1Agreement?: number;
  /** Number of tokens whose logits were compared, or of examples. */
  readonly tokens: number;
  /** Present where the model was run on examples of its inputs. */
  readonly examples?: boolean;
  /** Present if llama.cpp is installed and a GGUF file was written. */
  readonly llamaCpp?: LlamaCheck;
}

/** Amount that was compared, such as `64 tokens`. */
export function describeCompared({
  tokens,
  examples,
}: Pick<Verification, 'tokens' | 'examples'>): Message {
  return counted(tokens, examples === true ? 'example' : 'token');
}

/**
 * Sentences that say what was checked: `Verified: it opens and runs, top-1 agreement with the plan 98 % on 64 tokens. It
 * loads in llama.cpp v0.5.0, top-1 agreement with the plan 97 %.`
 */
export function describeVerification(verification: Verification): Message {
  const { top1Agreement: agreement, relativeError, llamaCpp } = verification;
  const compared = describeCompared(verification);
  return joined([
    agreement === undefined
      ? say`Verified: it opens and runs, relative error against the plan ${formatError(relativeError)} on ${compared}.`
      : say`Verified: it opens and runs, top-1 agreement with the plan ${formatPercent(agreement)} on ${compared}.`,
    llamaCpp && describeLlamaCheck(llamaCpp),
  ]);
}

const describeLlamaCheck = ({ release, top1Agreement = 0, failure }: LlamaCheck): Message =>
  failure === undefined
    ? say`It loads in llama.cpp ${release}, top-1 agreement with the plan ${formatPercent(top1Agreement)}.`
    : say`It doesn't run in llama.cpp ${release}: ${failure}.`;
