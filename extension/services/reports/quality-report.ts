import { l10n } from 'vscode';
import { describeMeasured } from '../../core/evaluate/gate';
import type { Outcome, Verdict } from '../../core/evaluate/gate';
import { changeOfRounds } from '../../core/prune/layer-profile';
import type { PerplexityChange, ProfileEvaluation } from '../../core/prune/layer-profile';
import type { Quality } from '../../core/evaluate/measure-quality';
import { distanceWord, perplexityWord } from '../../core/change-size';
import {
  formatBytes,
  formatChange,
  formatCount,
  formatDistance,
  formatPercent,
} from '../../core/format';
import { localise } from '../localise';
import { markdownTable } from './markdown-table';

/** How far a written model is from its original, as parts of a Markdown report; none where that was not measured. */
export function qualityReport(
  quality: Quality | undefined,
  verdict: Verdict | undefined,
): readonly string[] {
  if (quality === undefined) {
    return [];
  }
  const { metric, distance, positions, top1Agreement, perplexity, memory } = quality;
  return [
    `## ${l10n.t('Compared with the original')}`,
    markdownTable(
      [l10n.t('Measure'), `${l10n.t('Value')}:`],
      [
        [
          metric === 'js'
            ? l10n.t('Distance (Jensen–Shannon divergence, nats)')
            : l10n.t('Distance (relative change of the output)'),
          describeDistance(metric, distance),
        ],
        ...(top1Agreement === undefined
          ? []
          : [[l10n.t('Top-1 agreement'), formatPercent(top1Agreement)]]),
        ...(perplexity === undefined
          ? []
          : [[l10n.t('Perplexity'), describePerplexity(perplexity)]]),
        ...(memory === undefined
          ? []
          : [
              [
                l10n.t('Memory at 4 k tokens of context'),
                `${formatBytes(memory.before)} → ${formatBytes(memory.after)} (${formatChange(memory.before, memory.after)})`,
              ],
            ]),
      ],
    ),
    perplexity === undefined
      ? l10n.t('Measured on {0} positions of the output.', formatCount(positions))
      : l10n.t('Measured on {0} tokens of held-out text.', formatCount(positions)),
    ...(verdict === undefined ? [] : verdictReport(verdict)),
  ];
}

function verdictReport({ outcome, limits, speed }: Verdict): readonly string[] {
  return [
    `## ${l10n.t('Verdict: {0}', outcomeText(outcome))}`,
    markdownTable(
      [
        ...[l10n.t('Limit'), `${l10n.t('Measured')}:`],
        ...[`${l10n.t('95 % interval')}:`, l10n.t('Verdict')],
      ],
      limits.map(({ limit, measured, outcome: own }) => {
        const { value = '–', ends } =
          measured === undefined ? {} : describeMeasured(limit, measured);
        return [
          `\`${limit}\``,
          value,
          ends === undefined ? '–' : l10n.t('{0} to {1}', ...ends),
          outcomeText(own),
        ];
      }),
    ),
    ...(speed === undefined
      ? []
      : [
          l10n.t(
            'Generated tokens per second on this machine: {0} → {1}.',
            speed.before.toPrecision(3),
            speed.after.toPrecision(3),
          ),
        ]),
  ];
}

function outcomeText(outcome: Outcome): string {
  switch (outcome) {
    case 'accept':
      return l10n.t('accepted');
    case 'regression':
      return l10n.t('regression');
    case 'not enough evidence':
      return l10n.t('not enough evidence');
  }
}

/** ` Perplexity 29.40 → 32.40 (+10 %).` and the verdict, to follow a sentence; nothing where it was not measured. */
export function qualityNote(quality: Quality | undefined, verdict: Verdict | undefined): string {
  const judged = verdict === undefined ? '' : ` ${verdictSentence(verdict)}`;
  return quality === undefined ? judged : `${measuredNote(quality)}${judged}`;
}

/** Whether a written model misses a limit that was set. */
export const isRegression = (verdict: Verdict | undefined): boolean =>
  verdict?.outcome === 'regression';

/** `Verdict: regression (perplexity<+1%).` */
function verdictSentence({ outcome, limits }: Verdict): string {
  const told = outcomeText(outcome);
  const decisive = limits.filter((one) => one.outcome === outcome).map(({ limit }) => limit);
  return outcome === 'accept'
    ? l10n.t('Verdict: {0}.', told)
    : l10n.t('Verdict: {0} ({1}).', told, decisive.join(', '));
}

/** `Perplexity 29.40 → 32.40 (+10 %, small).` of the original and of what all rounds leave, where both are known. */
export function roundsNote(
  evaluations: readonly ProfileEvaluation[],
  rounds: number,
): readonly string[] {
  const change = changeOfRounds(evaluations, rounds);
  return change === undefined ? [] : [perplexitySentence(change)];
}

function measuredNote(quality: Quality): string {
  const { perplexity, top1Agreement } = quality;
  if (perplexity !== undefined) {
    return ` ${perplexitySentence({ ...perplexity, ...(quality.partial && { partial: true }) })}`;
  }
  return top1Agreement === undefined
    ? ''
    : ` ${l10n.t('Top-1 agreement {0}.', formatPercent(top1Agreement))}`;
}

/** Says how much was read where that is not what an evaluation reads. */
function perplexitySentence(change: PerplexityChange): string {
  const told = describePerplexity(change);
  return change.partial === true
    ? l10n.t('Perplexity {0} on the first {1} tokens.', told, change.tokens)
    : l10n.t('Perplexity {0}.', told);
}

/** `29.40 → 32.40 (+10 %, small)` */
function describePerplexity({ before, after }: NonNullable<Quality['perplexity']>): string {
  const word = localise(perplexityWord(before, after));
  return `${before.toPrecision(4)} → ${after.toPrecision(4)} (${formatChange(before, after)}, ${word})`;
}

/** The same of a distance: `0.0290 (small)`, where its metric has words. */
function describeDistance(metric: string, distance: number): string {
  const word = distanceWord(metric, distance);
  return `${formatDistance(distance)}${word === undefined ? '' : ` (${localise(word)})`}`;
}
