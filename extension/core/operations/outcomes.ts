import { basename } from 'node:path';
import { perplexityLabel } from '../quality-labels';
import type { Outcome as VerdictOutcome, Verdict } from '../evaluate/requirements';
import type { Quality } from '../evaluate/measure-quality';
import { describeVerification } from '../export/verification';
import { formatBytes, formatChange, formatCount, formatPercent } from '../format';
import { counted, joined, say } from '../message';
import type { Message } from '../message';
import type { PruneResult } from '../pipelines/prune-result';
import type { PerplexityChange } from '../prune/layer-profile';
import type { Outcome } from './presentation';

/** Written and verified model with its measurements. */
interface WrittenModel extends PruneResult {
  readonly quality?: Quality;
  readonly verdict?: Verdict;
}

/** `1 layer`, `1.2 K layers` */
export const countPhrase = (count: number, noun: string): Message =>
  counted(count, noun, formatCount);

/** Summary of the size reduction of a pruned model. */
export function prunedOutcome(result: WrittenModel, { name }: { readonly name: string }): Outcome {
  const { path, bytesBefore, bytesAfter } = result;
  const saved = formatPercent((bytesBefore - bytesAfter) / bytesBefore);
  return withQuality(result, say`${basename(path)} is ${saved} smaller than ${name}.`);
}

/** Summary of the size of a compressed or converted model. */
export function compressedOutcome(result: WrittenModel): Outcome {
  const { path, bytesBefore, bytesAfter } = result;
  const [before, after] = [formatBytes(bytesBefore), formatBytes(bytesAfter)];
  return withQuality(result, say`${basename(path)} takes ${after} instead of ${before}.`);
}

/** Summary of the number of written examples. */
export const exportedOutcome = (examples: number, out: string): Outcome => ({
  summary: say`Exported ${countPhrase(examples, 'example')} to ${basename(out)}.`,
});

function withQuality({ verification, quality, verdict }: WrittenModel, summary: Message): Outcome {
  return {
    summary: joined([
      summary,
      describeVerification(verification),
      quality && measuredNote(quality),
      verdict && verdictSentence(verdict),
    ]),
    isWarning: verdict?.outcome === 'regression',
  };
}

/** `Verdict: regression (perplexity<+1%).` */
function verdictSentence({ outcome, limits }: Verdict): Message {
  const decisive = limits.filter((one) => one.outcome === outcome).map(({ limit }) => limit);
  return outcome === 'accept'
    ? say`Verdict: ${verdictWord(outcome)}.`
    : say`Verdict: ${verdictWord(outcome)} (${decisive.join(', ')}).`;
}

export function verdictWord(outcome: VerdictOutcome): Message {
  switch (outcome) {
    case 'accept':
      return say`accepted`;
    case 'regression':
      return say`regression`;
    case 'not enough evidence':
      return say`not enough evidence`;
  }
}

function measuredNote({ perplexity, top1Agreement, partial }: Quality): Message | undefined {
  if (perplexity !== undefined) {
    return perplexitySentence({ ...perplexity, ...(partial && { partial }) });
  }
  return top1Agreement === undefined
    ? undefined
    : say`Top-1 agreement ${formatPercent(top1Agreement)}.`;
}

/** `Perplexity 29.40 → 32.40 (+10 %, small).` Includes the number of tokens if it is less than an evaluation's. */
export function perplexitySentence(change: PerplexityChange): Message {
  const text = perplexityChange(change.before, change.after);
  return change.partial === true
    ? say`Perplexity ${text} on the first ${change.tokens} tokens.`
    : say`Perplexity ${text}.`;
}

/** `29.40 → 32.40 (+10 %, small)` */
export function perplexityChange(before: number, after: number): Message {
  const [old, new_] = [before.toPrecision(4), after.toPrecision(4)];
  return say`${old} → ${new_} (${formatChange(before, after)}, ${perplexityLabel(before, after)})`;
}
