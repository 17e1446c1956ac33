import type { ColumnSort } from '../components/table';
import { isEmbeddingOrHead, roleName } from './cells';
import type { LayerCell } from './cells';
import type { SortKey } from './sort-keys';

/** Cells, given in the order of the model, sorted; those without a value come last either way. */
export function sorted(
  cells: readonly LayerCell[],
  { key, descending }: ColumnSort<SortKey>,
): LayerCell[] {
  const place = new Map(cells.map((cell, index) => [cell, index]));
  const rank = (cell: LayerCell) => place.get(cell) ?? 0;
  return [...cells].sort((a, b) => {
    const [left, right] = [sortValue(a, key), sortValue(b, key)];
    if (left === undefined || right === undefined) {
      return Number(left === undefined) - Number(right === undefined) || rank(a) - rank(b);
    }
    const order =
      typeof left === 'string' ? left.localeCompare(String(right)) : left - Number(right);
    return (descending ? -order : order) || rank(a) - rank(b);
  });
}

function sortValue({ layer, entry, loss }: LayerCell, key: SortKey): number | string | undefined {
  switch (key) {
    case 'tensor':
    case 'bytes':
      return layer[key];
    case 'role':
      return roleName(layer);
    case 'block':
      return isEmbeddingOrHead(layer) ? undefined : layer.block;
    case 'setting':
    case 'error':
    case 'outputError':
    case 'decodeMsPerToken':
      return entry?.[key];
    case 'loss':
      return loss;
    case 'after':
      return entry?.bytes;
  }
}
