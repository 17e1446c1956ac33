import type { ShownTable } from '../../extension/protocol/compression';
import type { FrontierPoint } from '../frontier/frontier-points';
import { allMatrices, entryLoss, schemeKey } from './cells';
import { strings } from './strings';
import type { Method } from './types';

/** Methods whose settings mean the same for every layer; ranks don't. */
const methods: ReadonlySet<Method> = new Set(['int8', 'int4', 'gguf']);

/** Models whose layers all have the same setting, by the losses of single layers. */
export function settingPoints(table: ShownTable): FrontierPoint[] {
  const matrices = allMatrices(table);
  const settings = new Map(
    matrices
      .flatMap(({ entries }) => entries)
      .filter(({ method }) => methods.has(method))
      .map((entry) => [`${schemeKey(entry)} ${entry.setting}`, entry]),
  );
  return [...settings].flatMap(([key, setting]) => {
    let [size, loss] = [table.model.bytes, 0];
    for (const matrix of matrices) {
      const entry = matrix.entries.find((one) => `${schemeKey(one)} ${one.setting}` === key);
      // Embedding and head may have been left out of the measurement.
      if (entry === undefined && 'block' in matrix) return [];
      size += (entry?.bytes ?? matrix.bytes) - matrix.bytes;
      loss += entry === undefined ? 0 : entryLoss(entry, table);
    }
    const name = `${strings.scheme(setting)} ${strings.setting(setting)}`;
    return [
      {
        ...({ kind: 'setting', size, loss, isMeasured: false, note: '' } as const),
        name: setting.method === 'gguf' ? strings.setting(setting) : name,
      },
    ];
  });
}
