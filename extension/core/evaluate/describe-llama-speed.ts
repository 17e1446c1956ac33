import { formatSpeed } from '../format';
import { say } from '../message';
import type { Message } from '../message';
import type { LlamaTiming } from './evaluation';

/** Speeds of an evaluated model and of the one that it is compared with, if they were timed. */
interface TimedModels {
  readonly llamaCpp?: LlamaTiming | undefined;
  readonly against?: { readonly llamaCpp?: LlamaTiming | undefined } | undefined;
}

/** Speeds of a model, or of the original and the model; none if it was not timed. */
export function describeLlamaSpeed({ llamaCpp: after, against }: TimedModels): Message[] {
  const before = against?.llamaCpp;
  if (after === undefined) {
    return [];
  }
  const { release, threads } = after;
  const speed = (key: 'prefillTokensPerSecond' | 'decodeTokensPerSecond'): string =>
    [...(before === undefined ? [] : [before[key]]), after[key]].map(formatSpeed).join(' → ');
  const [prefill, decode] = [speed('prefillTokensPerSecond'), speed('decodeTokensPerSecond')];
  return [
    say`llama.cpp ${release}, CPU threads: ${threads}; prefill ${prefill} tokens/s, decode ${decode} tokens/s`,
  ];
}
