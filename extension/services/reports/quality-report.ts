import { l10n } from 'vscode';
import { describeMeasured } from '../../core/evaluate/gate';
import type { Verdict } from '../../core/evaluate/gate';
import type { Quality } from '../../core/evaluate/measure-quality';
import { distanceWord } from '../../core/change-size';
import { perplexityChange, verdictWord } from '../../core/operations/outcomes';
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
          : [
              [
                l10n.t('Perplexity'),
                localise(perplexityChange(perplexity.before, perplexity.after)),
              ],
            ]),
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
    `## ${l10n.t('Verdict: {0}', localise(verdictWord(outcome)))}`,
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
          localise(verdictWord(own)),
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

/** `0.0290 (small)`, with a word if the metric has words. */
function describeDistance(metric: string, distance: number): string {
  const word = distanceWord(metric, distance);
  return `${formatDistance(distance)}${word === undefined ? '' : ` (${localise(word)})`}`;
}
