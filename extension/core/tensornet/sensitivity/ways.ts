import type { Compression } from '../compression-choice';
import type { SensitivityTable } from './sensitivity-table';

/** A way to compress, whatever its level. */
export type Way = Pick<Compression, 'method' | 'variant' | 'then'>;

/** Tells ways apart: METHOD[:VARIANT][+THEN]. */
function wayName({ method, variant, then }: Way): string {
  return [
    method,
    variant === undefined ? '' : `:${variant}`,
    then === undefined ? '' : `+${then}`,
  ].join('');
}

/** A table without what was measured of other ways. */
export function withWays(table: SensitivityTable, ways: readonly Way[]): SensitivityTable {
  const names = new Set(ways.map(wayName));
  return {
    ...table,
    layers: table.layers.map((layer) => ({
      ...layer,
      entries: layer.entries.filter((entry) => names.has(wayName(entry))),
    })),
  };
}
