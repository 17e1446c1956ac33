import { basename } from 'node:path';
import { l10n } from 'vscode';
import { describeVerification } from '../../../core/export/verification';
import { formatBytes, formatChange, formatCount, formatPercent } from '../../../core/format';
import type { ModelSummary } from '../../../core/models/model-summary';
import { expertIds } from '../../../core/models/units';
import type { ApplyResult } from '../../../core/operations/apply-plan';
import type { CompressResult } from '../../../core/pipelines/compression/compress-model';
import type { PruneResult } from '../../../core/pipelines/prune-result';
import type { ReportSection } from '../../../protocol/report';
import { counts } from '../../counts';
import { localise } from '../../localise';
import { qualityNote, qualityTiles, sizeTile, verdictSections } from '../measured-tiles';
import { listed } from '../page';
import type { PageContent } from '../page';

/** Report of a model that was pruned, compressed or converted. */
export function appliedPage(model: ModelSummary, result: ApplyResult): PageContent {
  const layers = 'layers' in result ? result.layers : [];
  const { removed, patched = [], widths = {}, quality } = result;
  const isChanged =
    layers.length + removed.length + patched.length + Object.keys(widths).length > 0;
  return {
    title: basename(result.path),
    tooltip: result.path,
    tags: [resultTag(result), result.format],
    sections: [
      {
        title: l10n.t('Result'),
        ...(quality === undefined ? {} : { note: qualityNote(quality) }),
        tiles: [
          sizeTile(result.bytesBefore, result.bytesAfter),
          ...(quality === undefined ? [] : qualityTiles(quality)),
        ],
        texts: [
          [
            localise(describeVerification(result.verification)),
            isChanged
              ? l10n.t('Here, "plan" is the original with the same changes, in memory.')
              : l10n.t('Here, "plan" is the original.'),
          ].join(' '),
        ],
      },
      ...verdictSections(result.verdict),
      { title: l10n.t('How to load it'), texts: [localise(result.loadsWith)] },
      partsSection(model, result),
      ...listed(l10n.t('Removed'), removed),
      ...listed(
        l10n.t('Width pruned'),
        Object.entries(widths).map(([id, left]) =>
          l10n.t(
            '{0}: {1} left',
            id,
            id.endsWith('.attention') ? counts.keyHeads(left) : counts.channels(left),
          ),
        ),
      ),
      ...('layers' in result ? [compressedSection(result)] : []),
      ...listed(l10n.t('Graph modules'), patched),
      {
        title: l10n.t('Files'),
        table: {
          columns: [{ title: l10n.t('File') }, { title: l10n.t('Size'), isNumber: true }],
          rows: result.files.map(({ name, bytes }) => [name, formatBytes(bytes)]),
        },
      },
    ],
  };
}

/** Main change of the model, in one word. */
function resultTag(result: ApplyResult): string {
  if ('layers' in result && result.layers.length > 0) {
    return l10n.t('compressed');
  }
  if (result.removed.length > 0) {
    return l10n.t('pruned');
  }
  if (result.widths !== undefined) {
    return l10n.t('width-pruned');
  }
  return result.patched === undefined ? l10n.t('converted') : l10n.t('with graph modules');
}

/** Parts of the model before and after. */
function partsSection(model: ModelSummary, result: ApplyResult): ReportSection {
  const change = (before: number, after: number): string =>
    before > 0 && before !== after ? formatChange(before, after) : '';
  const remaining = model.sublayers.filter(({ id }) => !result.removed.includes(id)).length;
  return {
    title: l10n.t('Parts'),
    table: {
      columns: [
        { title: '' },
        { title: l10n.t('Before'), isNumber: true },
        { title: l10n.t('After'), isNumber: true },
        { title: l10n.t('Change'), isNumber: true },
      ],
      rows: [
        [
          l10n.t('Parameters'),
          formatCount(result.parametersBefore),
          formatCount(result.parametersAfter),
          change(result.parametersBefore, result.parametersAfter),
        ],
        [
          l10n.t('Sublayers'),
          String(model.sublayers.length),
          String(remaining),
          change(model.sublayers.length, remaining),
        ],
        ...experts(model, result),
      ],
    },
  };
}

/** A row for single experts, if some were removed. */
function experts({ sublayers }: ModelSummary, { removed }: PruneResult): string[][] {
  const all = sublayers.flatMap(expertIds);
  const left = sublayers.filter(({ id }) => !removed.includes(id)).flatMap(expertIds);
  const removedIds = left.filter((id) => removed.includes(id));
  const after = left.length - removedIds.length;
  return removedIds.length === 0
    ? []
    : [
        [
          l10n.t('Experts'),
          String(all.length),
          String(after),
          `−${formatPercent(1 - after / all.length)}`,
        ],
      ];
}

/** Table of the compressed linear layers. */
function compressedSection({ layers }: CompressResult): ReportSection {
  const number = (title: string) => ({ title, isNumber: true });
  return {
    title: l10n.t('Compressed'),
    table: {
      columns: [
        { title: l10n.t('Linear layer') },
        { title: l10n.t('Method') },
        number(l10n.t('Setting')),
        number(l10n.t('Parameters')),
        number(l10n.t('Size')),
        number(l10n.t('Error')),
        number(l10n.t('Error of its outputs')),
      ],
      rows: layers.map(
        ({ tensor, method, variant, then, setting, parameters, bytes, error, outputError }) => [
          tensor,
          `${method} ${variant}${then === undefined ? '' : ` + ${then}`}`,
          String(setting),
          formatCount(parameters),
          formatBytes(bytes),
          formatPercent(error),
          outputError === undefined ? '' : formatPercent(outputError),
        ],
      ),
    },
  };
}
