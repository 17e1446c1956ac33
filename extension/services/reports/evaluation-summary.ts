import { l10n } from 'vscode';
import type { Evaluation, EvaluationResult } from '../../core/evaluate/evaluation';
import { describePredictions } from '../../core/evaluate/describe-accuracy';
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

/** Perplexity and speed of what a choice leaves of a model, and how far two models predict the same. */
export function describeEvaluation(
  choice: Choice,
  result: EvaluationResult,
  comparison: Comparison,
): string {
  return [
    describeFigures(choice, result, comparison),
    ...describePredictions(result).map((sentence) => `${localise(sentence)}.`),
  ].join(' ');
}

function describeFigures(
  choice: Choice,
  result: EvaluationResult,
  { original, other }: Comparison,
): string {
  const [perplexity, speed] = figures(result);
  if (other !== undefined) {
    return l10n.t(
      'perplexity {0}, {1} tokens per second; {2}: {3}, {4}.',
      ...[perplexity, speed, other.name, ...figures(other.evaluation)],
    );
  }
  if (isWhole(choice) || original === undefined) {
    const tokens = formatCount(result.tokens);
    return l10n.t(
      'perplexity {0} on {1} tokens, {2} tokens per second.',
      ...[perplexity, tokens, speed],
    );
  }
  const [before] = figures(original);
  // Speeds of different runs don't compare: models that run side by side share the memory.
  const speeds = result.against === undefined ? speed : `${figures(result.against)[1]} → ${speed}`;
  return l10n.t(
    '{0}: perplexity {1} → {2} ({3}), tokens per second {4}.',
    ...[describeChoice(choice), before, perplexity, describeChange(original, result), speeds],
  );
}

/** What a choice changes in a model, behind its name: `without 2 sublayers`. */
export function describeChoice({ removed, narrow, patches }: Choice): string {
  if (narrow.length > 0) {
    return l10n.t(
      'with {0} removed and {1} narrowed',
      ...[counts.sublayers(removed.length), narrow.length],
    );
  }
  return patches.length === 0
    ? l10n.t('without {0}', counts.sublayers(removed.length))
    : l10n.t(
        'with {0} removed and {1} patched',
        ...[counts.sublayers(removed.length - patches.length), patches.length],
      );
}

const figures = ({ perplexity, tokensPerSecond }: Evaluation): [string, string] => [
  perplexity.toPrecision(4),
  formatCount(tokensPerSecond),
];

/** `+10 %, small` */
const describeChange = (before: Evaluation, { perplexity: after }: Evaluation): string =>
  `${formatChange(before.perplexity, after)}, ${localise(perplexityWord(before.perplexity, after))}`;
