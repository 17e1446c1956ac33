import { l10n } from 'vscode';
import type { Evaluation } from '../../core/evaluate/evaluation';
import { perplexityWord } from '../../core/change-size';
import { formatChange, formatCount } from '../../core/format';
import { localise } from '../localise';
import { isWhole } from '../sessions/selection';
import type { Choice } from '../sessions/selection';
import { counts } from '../counts';

/** What an evaluation is compared with, where that is known. */
export interface Comparison {
  /** The same model, unchanged. */
  readonly original?: Evaluation;
  readonly other?: { readonly name: string; readonly evaluation: Evaluation };
}

/** Perplexity and speed of what a choice leaves of a model, in a sentence. */
export function describeEvaluation(
  { removed, narrow, patches }: Choice,
  evaluation: Evaluation,
  { original, other }: Comparison,
): string {
  if (other !== undefined) {
    return l10n.t(
      'perplexity {0}, {1} tokens per second; {2}: {3}, {4}.',
      ...figures(evaluation),
      ...[other.name, ...figures(other.evaluation)],
    );
  }
  const [perplexity, speed] = figures(evaluation);
  if (isWhole({ removed, narrow }) || original === undefined) {
    const tokens = formatCount(evaluation.tokens);
    return l10n.t(
      'perplexity {0} on {1} tokens, {2} tokens per second.',
      ...[perplexity, tokens, speed],
    );
  }
  const [before, speedBefore] = figures(original);
  const numbers = [before, perplexity, describeChange(original, evaluation), speedBefore, speed];
  if (narrow.length > 0) {
    return l10n.t(
      'with {0} removed and {1} narrowed: perplexity {2} → {3} ({4}), tokens per second {5} → {6}.',
      ...[counts.sublayers(removed.length), narrow.length, ...numbers],
    );
  }
  return patches.length === 0
    ? l10n.t(
        'without {0}: perplexity {1} → {2} ({3}), tokens per second {4} → {5}.',
        ...[counts.sublayers(removed.length), ...numbers],
      )
    : l10n.t(
        'with {0} removed and {1} patched: perplexity {2} → {3} ({4}), tokens per second {5} → {6}.',
        ...[counts.sublayers(removed.length - patches.length), patches.length, ...numbers],
      );
}

const figures = ({ perplexity, tokensPerSecond }: Evaluation): [string, string] => [
  perplexity.toPrecision(4),
  formatCount(tokensPerSecond),
];

/** `+10 %, small` */
const describeChange = (before: Evaluation, { perplexity: after }: Evaluation): string =>
  `${formatChange(before.perplexity, after)}, ${localise(perplexityWord(before.perplexity, after))}`;
