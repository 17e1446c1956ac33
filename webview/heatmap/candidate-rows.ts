import type { Cell } from './cells';
import type { Mark, SublayerKind } from './types';

export const sortKeys = [
  'sublayer',
  'kind',
  'block',
  'distance',
  'rank',
  'parameters',
  'bytes',
  'mark',
] as const;
export type SortKey = (typeof sortKeys)[number];

export interface Sort {
  readonly key: SortKey;
  readonly descending: boolean;
}

export interface Filter {
  /** Part of an id, any case. */
  readonly text: string;
  readonly kind: SublayerKind | 'all';
  readonly mark: Mark | 'all';
}

export const everything: Filter = { text: '', kind: 'all', mark: 'all' };

/** Sorting by the same column again turns it round. */
export function sortBy(current: Sort, key: SortKey): Sort {
  return { key, descending: current.key === key ? !current.descending : false };
}

/** The cells that pass the filter, sorted; those without a value come last either way. */
export function rowsOf(cells: readonly Cell[], filter: Filter, sort: Sort): Cell[] {
  const text = filter.text.trim().toLowerCase();
  const position = new Map(cells.map((cell, index) => [cell, index]));
  const inOrder = (a: Cell, b: Cell) => (position.get(a) ?? 0) - (position.get(b) ?? 0);
  return cells
    .filter(
      (cell) =>
        cell.sublayer.id.toLowerCase().includes(text) &&
        (filter.kind === 'all' || cell.sublayer.kind === filter.kind) &&
        (filter.mark === 'all' || cell.mark === filter.mark),
    )
    .sort((a, b) => compareValues(a, b, sort) || inOrder(a, b));
}

function compareValues(a: Cell, b: Cell, { key, descending }: Sort): number {
  const left = sortValue(a, key);
  const right = sortValue(b, key);
  if (left === undefined || right === undefined) {
    return Number(left === undefined) - Number(right === undefined);
  }
  const order = typeof left === 'string' ? left.localeCompare(String(right)) : left - Number(right);
  return descending ? -order : order;
}

/** Removed sublayers first, in their order, then the protected ones. */
const MARK_ORDER: Readonly<Record<Mark, number>> = { removed: 0, protected: 1e6, keep: 2e6 };

function sortValue(cell: Cell, key: SortKey): number | string | undefined {
  const { sublayer } = cell;
  switch (key) {
    case 'sublayer':
      return sublayer.block * 2 + (sublayer.kind === 'attention' ? 0 : 1);
    case 'kind':
      return sublayer.kind;
    case 'block':
      return sublayer.block;
    case 'distance':
      return cell.distance ?? cell.atLeast;
    case 'rank':
      return cell.rank;
    case 'parameters':
      return sublayer.parameters;
    case 'bytes':
      return sublayer.bytes;
    case 'mark':
      return MARK_ORDER[cell.mark] + (cell.order ?? 0);
  }
}
