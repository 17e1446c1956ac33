import { distanceLabel } from '../../extension/core/quality-labels';
import { glossary } from '../../extension/core/glossary';
import type { CandidateStability, ShownPatch } from '../../extension/protocol/heatmap';
import { listed, named, tell } from '../translate';
import type { Fact } from '../components/facts';
import {
  formatBytes,
  formatCompact,
  formatCount,
  formatDistance,
  formatPercent,
  formatWithError,
} from '../format';
import { strings } from './strings';
import type { Cell, LessWide } from './cells';
import { cellColumns } from './columns';
import { unitName } from './units';

/** The distance of a cell in words; a dash if there is none. */
export function distanceText(cell: Cell): string {
  if (cell.distance !== undefined) {
    return cell.standardError === undefined
      ? formatDistance(cell.distance)
      : formatWithError(cell.distance, cell.standardError);
  }
  if (cell.atLeast !== undefined) return strings.atLeast(formatDistance(cell.atLeast));
  return strings.notYet;
}

/** Accessible name of a cell. */
export function cellLabel(cell: Cell): string {
  const { sublayer } = cell;
  const facts = [strings.markName(cell.mark, cell.order)];
  if (cell.distance !== undefined || cell.atLeast !== undefined)
    facts.push(strings.factDistance(distanceText(cell)));
  else if (cell.status === 'pending') facts.push(strings.legendPending);
  else if (cell.status === 'excluded') facts.push(strings.legendExcluded);
  else if (cell.preview !== undefined) {
    facts.push(strings.factPreview(formatDistance(cell.preview)));
  }
  for (const { column, value } of cellColumns(cell)) {
    facts.push(named(column.title, column.format(value)));
  }
  const rank = rankText(cell, strings.factRank);
  if (rank !== undefined) facts.push(rank);
  if (cell.stability?.dependsOnText === true) facts.push(strings.dependsOnText);
  if (cell.widthPruned !== undefined)
    facts.push(strings.factWidthPruned(widthText(cell.widthPruned)));
  if (cell.patch !== undefined) facts.push(patchFact(cell.patch));
  return strings.cellLabel(unitName(sublayer), sublayer.block, facts);
}

/** Remaining share of a width-pruned sublayer, or of the experts of a MoE layer. */
export function widthText({ of, kept, count }: LessWide): string {
  return strings.kept[of](formatCount(kept), formatCount(count), formatPercent(kept / count));
}

function rankText(
  { rank, ranked }: Cell,
  words: (rank: string, of: string) => string,
): string | undefined {
  return rank === undefined || ranked === undefined
    ? undefined
    : words(formatCount(rank), formatCount(ranked));
}

/** Its best and its worst place among texts. */
function placesText({ places: [best, worst], dependsOnText }: CandidateStability): string {
  const places =
    best === worst ? formatCount(best) : strings.placesValue(formatCount(best), formatCount(worst));
  return dependsOnText ? listed([places, strings.dependsOnText]) : places;
}

/** Short description of the patch that replaces a sublayer. */
function patchFact({ place, graph }: ShownPatch): string {
  const size = graph === undefined ? '' : strings.graphSize(graph.size, graph.edges.length / 2);
  return strings.factPatch(place === 'plan', size);
}

/** Tooltip of a cell. */
export function cellTooltip(cell: Cell): string | undefined {
  if (cell.patch !== undefined) return strings.patchTooltip(cell.patch.program);
  if (cell.widthPruned !== undefined) return strings.factWidthPruned(widthText(cell.widthPruned));
  return cell.standardError === undefined ? undefined : strings.factDistance(distanceText(cell));
}

/** `0.029 ± 0.001, small` */
function distanceInWords(cell: Cell, metric: string): string {
  const word = cell.distance === undefined ? undefined : distanceLabel(metric, cell.distance);
  return word === undefined ? distanceText(cell) : listed([distanceText(cell), tell(word)]);
}

/**
 * Every number of a cell, for the details below the grid.
 * @param metric of the distance; empty without a profile
 */
export function cellFacts(cell: Cell, metric: string): Fact[] {
  const { sublayer, widthPruned } = cell;
  const formatSize = (
    field: 'parameters' | 'bytes' | 'flopsPerToken' | 'kvBytesPerToken',
    format: (value: number) => string,
  ): string =>
    widthPruned === undefined || widthPruned[field] === sublayer[field]
      ? format(sublayer[field])
      : strings.becomes(format(sublayer[field]), format(widthPruned[field]));
  const preview = cell.preview === undefined ? strings.notYet : formatDistance(cell.preview);
  return [
    {
      name: strings.distance,
      value: distanceInWords(cell, metric),
      title: tell(glossary.distance),
    },
    {
      name: strings.rank,
      value: rankText(cell, strings.rankValue) ?? strings.notYet,
      title: tell(glossary.rank),
    },
    ...(cell.stability === undefined
      ? []
      : [{ name: strings.places, value: placesText(cell.stability) }]),
    {
      name: strings.round,
      value: cell.round === undefined ? strings.notYet : `${cell.round}`,
      title: tell(glossary.round),
    },
    ...(widthPruned === undefined ? [] : [{ name: strings.width, value: widthText(widthPruned) }]),
    { name: strings.parameters, value: formatSize('parameters', formatCompact) },
    ...(sublayer.sharedWeights === undefined
      ? []
      : [
          {
            name: strings.sharedWeights,
            value: formatCompact(sublayer.sharedWeights),
            title: strings.sharedTitle,
          },
        ]),
    { name: strings.bytes, value: formatSize('bytes', formatBytes) },
    {
      name: strings.flopsPerToken,
      value: formatSize('flopsPerToken', formatCompact),
      title: tell(glossary.flopsPerToken),
    },
    {
      name: strings.kvBytesPerToken,
      value: formatSize('kvBytesPerToken', formatBytes),
      title: tell(glossary.kvBytesPerToken),
    },
    { name: strings.preview, value: strings.previewOnly(preview), title: tell(glossary.preview) },
    ...cellColumns(cell).flatMap(({ column: { title, format, facts }, value }) =>
      facts === undefined ? [{ name: title, value: format(value) }] : facts(cell),
    ),
  ];
}
