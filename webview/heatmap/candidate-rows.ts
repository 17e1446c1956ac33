import type { ColumnSort } from '../components/table';
import type { Cell } from './cells';
import { columns } from './columns';
import type { Mark, SublayerKind } from './types';

/** Columns of the table with values of their own. */
export const fixedKeys = [
  'sublayer',
  'kind',
  'block',
  'distance',
  'rank',
  'parameters',
  'bytes',
  'width',
  'mark',
] as const;
type FixedKey = (typeof fixedKeys)[number];

/** The fixed columns and those of the heatmap. */
export const sortKeys: readonly string[] = [...fixedKeys, ...columns.map(({ id }) => id)];
export type SortKey = string;

export type Sort = ColumnSort<SortKey>;

export interface Filter {
  /** Part of an id, any case. */
  readonly text: string;
  readonly kind: SublayerKind | 'all';
  readonly mark: Mark | 'all';
}

export const everything: Filter = { text: '', kind: 'all', mark: 'all' };

/** The filter without a kind that the model lacks, which no cell could pass. */
export function filterFor(filter: Filter, kinds: readonly SublayerKind[]): Filter {
  return kinds.some((kind) => kind === filter.kind) ? filter : { ...filter, kind: 'all' };
}

/**
 * The cells, given in the order of the model, that pass the filter, sorted; those without a value
 * come last either way.
 */
export function selectRows(cells: readonly Cell[], filter: Filter, sort: Sort): Cell[] {
  const text = filter.text.trim().toLowerCase();
  const position = new Map(cells.map((cell, index) => [cell, index]));
  const rank = (cell: Cell) => position.get(cell) ?? 0;
  return cells
    .filter(
      (cell) =>
        cell.sublayer.id.toLowerCase().includes(text) &&
        (filter.kind === 'all' || cell.sublayer.kind === filter.kind) &&
        (filter.mark === 'all' || cell.mark === filter.mark),
    )
    .sort((a, b) => compareValues(a, b, sort, rank) || rank(a) - rank(b));
}

function compareValues(
  a: Cell,
  b: Cell,
  { key, descending }: Sort,
  placeOf: (cell: Cell) => number,
): number {
  const left = key === 'sublayer' ? placeOf(a) : sortValue(a, key);
  const right = key === 'sublayer' ? placeOf(b) : sortValue(b, key);
  if (left === undefined || right === undefined) {
    return Number(left === undefined) - Number(right === undefined);
  }
  const order = typeof left === 'string' ? left.localeCompare(String(right)) : left - Number(right);
  return descending ? -order : order;
}

/** Removed sublayers first, in their order, then the protected ones. */
const MARK_ORDER: Readonly<Record<Mark, number>> = { removed: 0, protected: 1e6, keep: 2e6 };

function sortValue(cell: Cell, key: string): number | string | undefined {
  const { sublayer } = cell;
  switch (key as Exclude<FixedKey, 'sublayer'>) {
    case 'kind':
      return sublayer.kind;
    case 'block':
      return sublayer.block;
    case 'distance':
      return cell.distance ?? cell.atLeast;
    case 'rank':
      return cell.rank;
    case 'width':
      return cell.widthPruned && cell.widthPruned.kept / cell.widthPruned.count;
    case 'parameters':
      return sublayer.parameters;
    case 'bytes':
      return sublayer.bytes;
    case 'mark':
      return MARK_ORDER[cell.mark] + (cell.order ?? 0);
    default:
      return cell.values[key];
  }
}
