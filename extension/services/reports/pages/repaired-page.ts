import { basename } from 'node:path';
import { l10n } from 'vscode';
import { describeVerification } from '../../../core/export/verification';
import { formatBytes, formatChange, formatCount } from '../../../core/format';
import type { Repaired } from '../../../core/operations/repair';
import type { PruneResult } from '../../../core/pipelines/prune-result';
import type { ReportSection } from '../../../protocol/report';
import { localise } from '../../localise';
import { verdictSections } from '../measured-tiles';
import type { PageContent } from '../page';

/** Report of a repaired model: the distance to the original before and after, sublayer by sublayer. */
export function repairedPage(result: Repaired, written: PruneResult): PageContent {
  const { learned, unit, lossBefore, lossAfter, verdict } = result;
  return {
    title: basename(written.path),
    tooltip: written.path,
    tags: [l10n.t('repaired'), written.format],
    sections: [
      {
        title: l10n.t('Result'),
        note:
          learned.tokens === 0
            ? l10n.t(
                'Trained on {0} examples, {1} held out. At most {2} passes.',
                learned.train,
                learned.heldOut,
                learned.passes,
              )
            : l10n.t(
                'Trained on {0} tokens in {1} sequences, {2} held out. At most {3} passes.',
                formatCount(learned.tokens),
                learned.train,
                learned.heldOut,
                learned.passes,
              ),
        tiles: [
          {
            name: unit === 'nats' ? l10n.t('KL divergence') : l10n.t('Change of the output'),
            value: formatChange(lossBefore, lossAfter),
            note: [
              l10n.t('{0} → {1}', lossBefore.toPrecision(4), lossAfter.toPrecision(4)),
              unit === 'nats'
                ? l10n.t('nats per token, on held-out text')
                : l10n.t('‖ŷ − y‖² / ‖y‖² of outputs, on held-out examples'),
            ].join(' · '),
          },
          {
            name: l10n.t('Size'),
            value: formatBytes(written.bytesAfter),
            note: l10n.t('as before the repair'),
          },
        ],
        texts: [localise(describeVerification(written.verification))],
      },
      ...verdictSections(verdict),
      { title: l10n.t('How to load it'), texts: [localise(written.loadsWith)] },
      ...sublayerSection(result.slices),
    ],
  };
}

function sublayerSection(slices: Repaired['slices']): ReportSection[] {
  return slices.length === 0
    ? []
    : [
        {
          title: l10n.t('Sublayers'),
          note: l10n.t(
            'Error of the residual stream after each, on held-out text: ‖ŷ − y‖² / ‖y‖².',
          ),
          table: {
            columns: [
              { title: l10n.t('Sublayer') },
              { title: l10n.t('Before'), isNumber: true },
              { title: l10n.t('After'), isNumber: true },
              { title: l10n.t('Passes'), isNumber: true },
              { title: l10n.t('Kept') },
            ],
            rows: slices.map(({ sublayer, repaired, errorBefore, errorAfter, epochs }) => [
              sublayer,
              errorBefore.toPrecision(3),
              errorAfter.toPrecision(3),
              String(epochs),
              repaired ? l10n.t('as repaired') : l10n.t('unchanged'),
            ]),
          },
        },
      ];
}
