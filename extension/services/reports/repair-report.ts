import { l10n } from 'vscode';
import type { RepairResult } from '../../core/pipelines/compression/repair-model';
import type { PruneResult } from '../../core/pipelines/prune-result';
import { formatBytes, formatCount, formatPercent } from '../../core/format';
import { escapeMarkdown, markdownTable } from './markdown-table';
import { localise } from '../localise';

/** What repair won, sublayer by sublayer, as Markdown. */
export function repairReport(
  name: string,
  { learned, unit, lossBefore, lossAfter, slices }: RepairResult,
  { path, bytesAfter, loadsWith }: PruneResult,
): string {
  const losses = [
    lossBefore.toPrecision(4),
    lossAfter.toPrecision(4),
    formatPercent(1 - lossAfter / lossBefore),
  ];
  return [
    `# ${l10n.t('{0}, repaired', escapeMarkdown(name))}`,
    `${escapeMarkdown(path)} · ${formatBytes(bytesAfter)}`,
    unit === 'nats'
      ? l10n.t(
          'The distance to the original (KL divergence, nats per token, on held-out text) fell from **{0}** to **{1}**: {2} less.',
          ...losses,
        )
      : l10n.t(
          'The distance to the original (‖ŷ − y‖² / ‖y‖² of outputs, on held-out examples) fell from **{0}** to **{1}**: {2} less.',
          ...losses,
        ),
    learned.tokens === 0
      ? l10n.t(
          'Learned from {0} examples, {1} held out. Passes over them: {2} at most.',
          learned.train,
          learned.heldOut,
          learned.passes,
        )
      : l10n.t(
          'Learned from {0} tokens in {1} sequences, {2} held out. Passes over the text: {3} at most.',
          formatCount(learned.tokens),
          learned.train,
          learned.heldOut,
          learned.passes,
        ),
    ...(slices.length === 0 ? [] : sublayerTable(slices)),
    `## ${l10n.t('How to load it')}`,
    escapeMarkdown(localise(loadsWith)),
    '',
  ].join('\n\n');
}

function sublayerTable(slices: RepairResult['slices']): string[] {
  return [
    `## ${l10n.t('Sublayers')}`,
    l10n.t('Error of the stream behind each, on held-out text: ‖ŷ − y‖² / ‖y‖².'),
    markdownTable(
      [
        l10n.t('Sublayer'),
        `${l10n.t('Before')}:`,
        `${l10n.t('After')}:`,
        `${l10n.t('Passes')}:`,
        l10n.t('Kept'),
      ],
      slices.map(({ sublayer, repaired, errorBefore, errorAfter, epochs }) => [
        `\`${sublayer}\``,
        errorBefore.toPrecision(3),
        errorAfter.toPrecision(3),
        String(epochs),
        repaired ? l10n.t('as repaired') : l10n.t('as it was'),
      ]),
    ),
  ];
}
