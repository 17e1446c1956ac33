import { distanceLabel } from '../../extension/core/quality-labels';
import { glossary } from '../../extension/core/glossary';
import type { Fact } from '../components/facts';
import {
  formatBytes,
  formatCompact,
  formatDistance,
  formatPercent,
  formatTime,
  formatWithError,
} from '../format';
import { isEmbeddingOrHead } from './cells';
import type { LayerCell } from './cells';
import { strings } from './strings';
import { listed, tell } from '../translate';

/** Accessible name of a cell. */
export function cellLabel(cell: LayerCell): string {
  const { line, block, layer } = cell;
  const name = isEmbeddingOrHead(layer) ? line : strings.cellName(line, block);
  return strings.cellLabel(name, [...statusTexts(cell), ...cell.drawbacks.map(strings.drawback)]);
}

function statusTexts({ status, entry, loss, layer }: LayerCell): string[] {
  if (status !== 'measured' || entry === undefined || loss === undefined) {
    return [status === 'measured' ? strings.status.pending : strings.status[status]];
  }
  return [
    strings.scheme(entry),
    strings.setting(entry),
    `${strings.distance.toLowerCase()} ${formatDistance(loss)}`,
    strings.change(formatBytes(layer.bytes), formatBytes(entry.bytes)),
  ];
}

/**
 * Every number of a cell, for the details below the grid.
 * @param metric of the distance
 */
export function cellFacts({ layer, entry, loss }: LayerCell, metric: string): Fact[] {
  const change = (
    field: 'bytes' | 'parameters' | 'flopsPerToken',
    format: (value: number) => string,
  ) =>
    entry === undefined
      ? format(layer[field])
      : strings.change(format(layer[field]), format(entry[field]));
  const share = (value: number | undefined) =>
    value === undefined ? strings.none : formatPercent(value);
  return [
    { name: strings.sizes, value: `${layer.out} × ${layer.in}` },
    {
      name: strings.settingFact,
      title: tell(glossary.setting),
      value: entry === undefined ? strings.none : strings.setting(entry),
    },
    {
      name: strings.distance,
      value: distanceText(metric, loss, entry?.standardError),
      title: tell(glossary.layerDistance),
    },
    { name: strings.error, value: share(entry?.error), title: tell(glossary.matrixError) },
    {
      name: strings.outputError,
      value: share(entry?.outputError),
      title: tell(glossary.outputError),
    },
    { name: strings.bytes, value: change('bytes', formatBytes) },
    { name: strings.parameters, value: change('parameters', formatCompact) },
    {
      name: strings.flops,
      value: change('flopsPerToken', formatCompact),
      title: tell(glossary.flopsPerToken),
    },
    {
      name: strings.decode,
      value: timeText(layer.decodeMsPerToken, entry?.decodeMsPerToken),
      title: tell(glossary.decodeTime),
    },
    {
      name: strings.prefill,
      value: timeText(layer.prefillMsPerToken, entry?.prefillMsPerToken),
      title: tell(glossary.prefillTime),
    },
    ...(entry?.mpoRun === undefined
      ? []
      : [{ name: strings.runs, value: strings.mpoRuns[entry.mpoRun] }]),
  ];
}

/** `0.029 ± 0.001, small` */
function distanceText(
  metric: string,
  loss: number | undefined,
  standardError: number | undefined,
): string {
  if (loss === undefined) return strings.none;
  const distance =
    standardError === undefined ? formatDistance(loss) : formatWithError(loss, standardError);
  const word = distanceLabel(metric, loss);
  return word === undefined ? distance : listed([distance, tell(word)]);
}

/** Unknown times are zero. */
export function timeText(before: number, after: number | undefined): string {
  if (before === 0) return strings.noTime;
  return after === undefined
    ? formatTime(before)
    : strings.change(formatTime(before), formatTime(after));
}
