import { glossary } from '../../extension/core/glossary';
import type { HeatmapState, SublayerDrift } from '../../extension/protocol/heatmap';
import { driftScale, startsText } from '../charts/drift-scale';
import { logScale } from '../charts/log-scale';
import type { LogScale } from '../charts/log-scale';
import type { Fact } from '../components/facts';
import { formatCount, formatDistanceShort, formatPercent } from '../format';
import { t, tell } from '../translate';
import { strings } from './strings';
import type { Unit } from './units';

/** State that columns take their values from. */
export type ColumnSource = Pick<HeatmapState, 'model' | 'drift' | 'measurements'>;

/** Part of a cell that columns know. */
interface ColumnCell {
  /** Values by column id. */
  readonly values: Readonly<Record<string, number | undefined>>;
  readonly drift: SublayerDrift | undefined;
}

/**
 * A number of each sublayer or expert. It can color the grid, has a column in the table, and is named in the details
 * and by screen readers.
 */
export interface HeatmapColumn {
  readonly id: string;
  readonly title: string;
  /** Maps values to positions on the color scale; undefined if nothing is known. */
  readonly scale: (values: readonly number[]) => LogScale | undefined;
  /** Value of a unit; undefined if it isn't known. */
  readonly value: (source: ColumnSource) => (unit: Unit) => number | undefined;
  readonly format: (value: number) => string;
  /** Title of the legend; the column's by default. */
  readonly legend?: string;
  /** Words for both ends of the scale. */
  readonly ends?: readonly [low: string, high: string];
  /** Sentence below the legend. */
  readonly definition?: (source: ColumnSource) => string | undefined;
  /** Facts about a cell that has a value; the value by default. */
  readonly facts?: (cell: ColumnCell) => readonly Fact[];
}

/** Value that an operation declares in `measures`. */
const measured =
  (id: string): HeatmapColumn['value'] =>
  ({ measurements }) =>
  (unit) =>
    measurements[id]?.[unit.id];

/** Fixed columns besides importance, which has previews and bounds of its own. */
export const columns: readonly HeatmapColumn[] = [
  {
    id: 'drift',
    title: strings.drift,
    scale: driftScale,
    value: ({ drift }) => {
      const errors = new Map(drift?.sublayers.map((one) => [one.sublayer, one.relativeError]));
      return ({ id }) => errors.get(id);
    },
    format: formatPercent,
    legend: t('Drift of hidden states from the original (relative error, log scale)'),
    ends: [t('little drift'), t('much drift')],
    definition: ({ drift }) =>
      drift && `${strings.driftDefinition(formatCount(drift.positions))}. ${startsText(drift)}`,
    facts: ({ drift }) => (drift === undefined ? [] : driftFacts(drift)),
  },
  {
    id: 'saliency',
    title: t('Saliency'),
    scale: logScale,
    value: measured('saliency'),
    format: formatDistanceShort,
    legend: t('Saliency of experts: gate times norm of the output, mean per token (log scale)'),
  },
  {
    id: 'tokens',
    title: t('Share of tokens'),
    scale: logScale,
    value: measured('tokens'),
    format: formatPercent,
    legend: t('Share of tokens that the router sends to an expert (log scale)'),
  },
];

/** Columns of single texts that were shown, by id. */
const textColumns = new Map<string, HeatmapColumn>();

/** Share of a text's tokens that an expert gets, for the id `tokens:TEXT`. */
function textColumn(id: string): HeatmapColumn | undefined {
  const known = textColumns.get(id);
  const [, text] = /^tokens:(.+)$/s.exec(id) ?? [];
  if (known !== undefined || text === undefined) return known;
  const name = text.replace(/^.*[/\\]/s, '');
  const column: HeatmapColumn = {
    id,
    title: t('Share of tokens in {0}', name),
    scale: logScale,
    value: measured(id),
    format: formatPercent,
    legend: t('Share of the tokens in {0} that the router sends to an expert (log scale)', name),
  };
  textColumns.set(id, column);
  return column;
}

export const findColumn = (id = ''): HeatmapColumn | undefined =>
  fixedColumns.get(id) ?? textColumn(id);

const fixedColumns = new Map(columns.map((column) => [column.id, column]));

/** Fixed columns, and those of single texts. */
export const listColumns = ({ measurements }: ColumnSource): readonly HeatmapColumn[] => [
  ...columns,
  ...Object.keys(measurements).flatMap((id) => textColumn(id) ?? []),
];

/** Columns of a cell, with its values. */
export const cellColumns = ({
  values,
}: ColumnCell): { readonly column: HeatmapColumn; readonly value: number }[] => {
  const known: { column: HeatmapColumn; value: number }[] = [];
  for (const id in values) {
    const value = values[id];
    const column = value === undefined ? undefined : findColumn(id);
    if (column !== undefined && value !== undefined) known.push({ column, value });
  }
  return known;
};

/** Columns that have a value in some cell. */
export function knownColumns(cells: readonly ColumnCell[]): readonly HeatmapColumn[] {
  const [first] = cells;
  return Object.keys(first?.values ?? {}).flatMap((id) => {
    const isKnown = cells.some(({ values }) => values[id] !== undefined);
    return (isKnown ? findColumn(id) : undefined) ?? [];
  });
}

function driftFacts({ relativeError, cosine, worst }: SublayerDrift): Fact[] {
  const there = formatPercent(worst.relativeError);
  return [
    {
      name: strings.drift,
      title: tell(glossary.drift),
      value: strings.driftValue(formatPercent(relativeError), cosine.toFixed(3)),
    },
    ...(worst.relativeError === 0
      ? []
      : [
          {
            name: strings.driftWorst,
            value:
              worst.token === undefined
                ? strings.driftAt(there, formatCount(worst.position))
                : strings.driftAtToken(
                    there,
                    JSON.stringify(worst.token),
                    formatCount(worst.position),
                  ),
          },
        ]),
  ];
}
