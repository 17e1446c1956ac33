import { l10n } from 'vscode';
import type { Quality } from '../../core/evaluate/measure-quality';
import { formatChange, formatPercent } from '../../core/format';
import { markdownTable } from './markdown-table';

/** How far a written model is from its original, as parts of a Markdown report; none where that was not measured. */
export function qualityReport(quality: Quality | undefined): readonly string[] {
  if (quality === undefined) {
    return [];
  }
  const { metric, distance, positions, top1Agreement, perplexity } = quality;
  return [
    `## ${l10n.t('Compared with the original')}`,
    markdownTable(
      [l10n.t('Measure'), `${l10n.t('Value')}:`],
      [
        [
          metric === 'js'
            ? l10n.t('Distance (Jensen–Shannon divergence, nats)')
            : l10n.t('Distance (relative change of the output)'),
          distance.toPrecision(3),
        ],
        ...(top1Agreement === undefined
          ? []
          : [[l10n.t('Top-1 agreement'), formatPercent(top1Agreement)]]),
        ...(perplexity === undefined
          ? []
          : [[l10n.t('Perplexity'), describePerplexity(perplexity)]]),
      ],
    ),
    perplexity === undefined
      ? l10n.t('Measured on {0} positions of the output.', positions)
      : l10n.t('Measured on {0} tokens of held-out text.', positions),
  ];
}

/** ` Perplexity 29.40 → 32.40 (+10 %).`, to follow a sentence; nothing where it was not measured. */
export function qualityNote(quality: Quality | undefined): string {
  if (quality === undefined) {
    return '';
  }
  const { perplexity, top1Agreement } = quality;
  if (perplexity !== undefined) {
    return ` ${l10n.t('Perplexity {0}.', describePerplexity(perplexity))}`;
  }
  return top1Agreement === undefined
    ? ''
    : ` ${l10n.t('Top-1 agreement {0}.', formatPercent(top1Agreement))}`;
}

function describePerplexity({ before, after }: NonNullable<Quality['perplexity']>): string {
  return `${before.toPrecision(4)} → ${after.toPrecision(4)} (${formatChange(before, after)})`;
}
