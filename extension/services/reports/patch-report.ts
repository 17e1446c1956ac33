import { l10n } from 'vscode';
import type { PatchResult } from '../../core/pipelines/patching/patch-model';
import { patchKindName, patchVerdict } from '../../core/operations/patch-verdict';
import { formatBytes, formatCount } from '../../core/format';
import type { ApplyResult } from '../../core/operations/apply-plan';
import { qualityReport } from './quality-report';
import { escapeMarkdown, markdownTable } from './markdown-table';
import { counts } from '../counts';
import { localise } from '../localise';

/** How a graph module compares with simpler things, and what was written, as Markdown. */
export function patchReport(name: string, result: PatchResult<ApplyResult>): string {
  const { sublayer, accepted, loss, standings, sequences, program, graph, written, plan } = result;
  const least = Math.min(...standings.map((one) => one.loss));
  const bold = (text: string, is: boolean): string => (is ? `**${text}**` : text);
  return [
    `# ${l10n.t('{0}: a patch for {1}', escapeMarkdown(name), escapeMarkdown(sublayer))}`,
    localise(patchVerdict(result)),
    markdownTable(
      [
        l10n.t('In its place'),
        `${l10n.t('Distance')}:`,
        `${l10n.t('Error')}:`,
        `${l10n.t('Parameters')}:`,
        `${l10n.t('Tries')}:`,
      ],
      standings.map(({ kind, loss: own, error, parameters, tries }) => [
        bold(localise(patchKindName(kind)), kind === 'graph'),
        bold(own.toPrecision(4), own === least),
        error.toFixed(4),
        formatCount(parameters),
        kind === 'skip' ? '–' : String(tries),
      ]),
    ),
    [
      loss === 'kl'
        ? l10n.t(
            'Distance: KL divergence to the original, nats per token, on {0} held-out sequences.',
            sequences.test,
          )
        : l10n.t(
            "Distance: norm of the difference to the original's output, on {0} held-out examples.",
            sequences.test,
          ),
      l10n.t(
        'Error: ‖ŷ − y‖² / ‖y‖² of what the sublayer adds, on {0} that chose the best try of each kind. Fitted to {1}.',
        sequences.validation,
        sequences.train,
      ),
    ].join(' '),
    `## ${l10n.t('The program')}`,
    `\`\`\`\n${program}\n\`\`\``,
    l10n.t(
      'It builds a graph with {0} and {1}.',
      counts.nodes(graph.size),
      counts.edges(graph.edges.length / 2),
    ),
    ...(written === null
      ? []
      : [
          `## ${l10n.t('Written')}`,
          `${escapeMarkdown(written.path)} · ${formatBytes(written.bytesAfter)}`,
          escapeMarkdown(localise(written.loadsWith)),
          ...qualityReport(written.quality, written.verdict),
          ...(plan === undefined
            ? []
            : [l10n.t('The patch stands in the plan {0}.', escapeMarkdown(plan))]),
        ]),
    ...(accepted || written !== null ? [] : [`> ${l10n.t('Nothing was written.')}`]),
    '',
  ].join('\n\n');
}
