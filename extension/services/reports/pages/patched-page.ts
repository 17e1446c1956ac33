import { basename } from 'node:path';
import { l10n } from 'vscode';
import { formatCount } from '../../../core/format';
import type { ApplyResult } from '../../../core/operations/apply-plan';
import { patchKindName, patchVerdict } from '../../../core/operations/patch-verdict';
import type { PatchResult } from '../../../core/pipelines/patching/patch-model';
import type { ReportSection } from '../../../protocol/report';
import { counts } from '../../counts';
import { localise } from '../../localise';
import { qualityNote, qualityTiles, sizeTile, verdictSections } from '../measured-tiles';
import type { PageContent } from '../page';

/** Report that compares a graph module with simpler modules and lists the written files. */
export function patchedPage(
  { name, model }: { readonly name: string; readonly model: string },
  result: PatchResult<ApplyResult>,
): PageContent {
  const { sublayer, accepted, program, graph, written } = result;
  return {
    title: written === null ? name : basename(written.path),
    tooltip: written?.path ?? model,
    tags: [l10n.t('patch for {0}', sublayer)],
    notices: accepted || written !== null ? [] : [l10n.t('Nothing was written.')],
    sections: [
      ...(written === null ? [] : writtenSections(written, result.plan)),
      contestSection(result),
      {
        title: l10n.t('The program'),
        code: program,
        texts: [
          l10n.t(
            'It creates a graph with {0} and {1}.',
            counts.nodes(graph.size),
            counts.edges(graph.edges.length / 2),
          ),
        ],
      },
    ],
  };
}

/** The losses of all contestants. */
function contestSection(result: PatchResult<ApplyResult>): ReportSection {
  const { loss, standings, sequences } = result;
  return {
    title: l10n.t('Modules'),
    texts: [
      localise(patchVerdict(result)),
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
          "Error ‖ŷ − y‖² / ‖y‖² of the sublayer's output, on the {0} that selected the best attempt of each kind. Fitted to {1}.",
          sequences.validation,
          sequences.train,
        ),
      ].join(' '),
    ],
    table: {
      columns: [
        { title: l10n.t('Replacement') },
        { title: l10n.t('Distance'), isNumber: true },
        { title: l10n.t('Error'), isNumber: true },
        { title: l10n.t('Parameters'), isNumber: true },
        { title: l10n.t('Tries'), isNumber: true },
      ],
      rows: standings.map(({ kind, loss: own, error, parameters, tries }) => [
        localise(patchKindName(kind)),
        own.toPrecision(4),
        error.toFixed(4),
        formatCount(parameters),
        kind === 'skip' ? '–' : String(tries),
      ]),
    },
  };
}

function writtenSections(
  { bytesBefore, bytesAfter, loadsWith, quality, verdict }: ApplyResult,
  plan: string | undefined,
): ReportSection[] {
  return [
    {
      title: l10n.t('Result'),
      ...(quality === undefined ? {} : { note: qualityNote(quality) }),
      tiles: [
        sizeTile(bytesBefore, bytesAfter),
        ...(quality === undefined ? [] : qualityTiles(quality)),
      ],
      texts: [
        localise(loadsWith),
        ...(plan === undefined ? [] : [l10n.t('The patch is in the plan {0}.', plan)]),
      ],
    },
    ...verdictSections(verdict),
  ];
}
