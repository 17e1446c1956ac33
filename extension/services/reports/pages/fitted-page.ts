import { basename } from 'node:path';
import { l10n } from 'vscode';
import { describeVerification } from '../../../core/export/verification';
import {
  formatBytes,
  formatCount,
  formatDistance,
  formatPercent,
  formatSpeed,
} from '../../../core/format';
import type { FittedModel, PredictedSpeed } from '../../../core/operations/fit-model';
import { machines } from '../../../core/pipelines/machines';
import type { ReportSection, ReportTile } from '../../../protocol/report';
import { localise } from '../../localise';
import { evaluationTiles, memoryTile, sizeTile, verdictSections } from '../measured-tiles';
import type { PageContent } from '../page';

/** Report of a model that was made smaller. */
export function fittedPage(result: FittedModel): PageContent {
  const { path, runtime, requantized, evaluation, unevaluated, memory, speed } = result;
  return {
    title: basename(path),
    tooltip: path,
    tags: [l10n.t('Smaller model'), runtime],
    notices: [
      ...(requantized === undefined
        ? []
        : [
            l10n.t(
              'The weights of the original are {0}. The loss is relative to that file, not to the model that it was made from.',
              requantized,
            ),
          ]),
      ...(unevaluated === undefined
        ? []
        : [l10n.t('It was not evaluated: {0}', localise(unevaluated))]),
    ],
    sections: [
      {
        title: l10n.t('Result'),
        ...(evaluation === undefined
          ? {}
          : {
              note: l10n.t(
                'Measured on {0} tokens of held-out text.',
                formatCount(evaluation.tokens),
              ),
            }),
        tiles: [
          sizeTile(result.bytesBefore, result.bytesAfter),
          memoryTile(memory.before, memory.after, memory.context),
          ...(evaluation === undefined ? [] : evaluationTiles(evaluation)),
          ...(speed === undefined ? [] : [predictedSpeedTile(speed)]),
        ],
        texts: [localise(describeVerification(result.verification))],
      },
      ...verdictSections(result.verdict),
      {
        title: l10n.t('Run it'),
        commands: result.commands.map(({ program, command }) => ({ program, command })),
      },
      typesSection(result),
    ],
  };
}

/** Predicted decode speed, with the requested one if there was. */
function predictedSpeedTile({ asked, before, after, source, machine }: PredictedSpeed): ReportTile {
  const basis =
    source === 'llama.cpp'
      ? l10n.t('from types timed in llama.cpp')
      : machine === undefined
        ? l10n.t('from the memory bandwidth')
        : l10n.t('from the memory bandwidth of {0}', localise(machines[machine].label));
  const speedNote = (): string => {
    if (asked !== undefined) {
      return after < asked
        ? l10n.t('below the requested {0}, {1}', formatSpeed(asked), basis)
        : l10n.t('requested at least {0}, {1}', formatSpeed(asked), basis);
    }
    return machine === undefined
      ? l10n.t('{0}; to measure it, run Espalier: Install llama.cpp', basis)
      : basis;
  };
  return {
    name: l10n.t('Predicted decode'),
    value: l10n.t('{0} tokens/s', `${formatSpeed(before)} → ${formatSpeed(after)}`),
    note: speedNote(),
  };
}

function typesSection({ types, mix, rounding }: FittedModel): ReportSection {
  const all = Object.values(types).reduce((sum, bytes) => sum + bytes, 0);
  return {
    title: l10n.t('Types'),
    ...(mix === undefined
      ? {}
      : {
          note: l10n.t(
            '{0} of {1} linear layers were measured. Distance of the mix from the original: {2}.',
            formatCount(mix.measured),
            formatCount(mix.layers),
            formatDistance(mix.distance),
          ),
        }),
    ...(rounding === undefined
      ? {}
      : {
          texts: [
            rounding === 'distill'
              ? l10n.t(
                  'Rounding: with error feedback on calibration text (GPTQ), then trained to give the logits of the original.',
                )
              : rounding === 'feedback'
                ? l10n.t('Rounding: with error feedback on calibration text (GPTQ).')
                : rounding === 'importance'
                  ? l10n.t('Rounding: by an importance matrix of calibration text.')
                  : l10n.t('Rounding: each weight to the nearest value.'),
          ],
        }),
    table: {
      columns: [
        { title: l10n.t('Type') },
        { title: l10n.t('Size'), isNumber: true },
        { title: l10n.t('Share'), isNumber: true },
      ],
      rows: Object.entries(types)
        .sort(([, a], [, b]) => b - a)
        .map(([type, bytes]) => [type, formatBytes(bytes), formatPercent(bytes / all)]),
    },
  };
}
