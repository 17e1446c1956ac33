import { expect, it } from 'vitest';
import { estimateUnmeasured } from '../../../extension/core/tensornet/sensitivity/estimate-unmeasured';
import type {
  LayerSensitivity,
  SensitivityProfile,
} from '../../../extension/core/tensornet/sensitivity/sensitivity-profile';

const layer = (
  tensor: string,
  role: LayerSensitivity['role'],
  out: number,
  distance?: number,
): LayerSensitivity =>
  ({
    ...{ tensor, role, out, in: 8, sublayer: 'block.0.attention' },
    entries:
      distance === undefined
        ? []
        : [{ method: 'gguf', setting: 8, distance, error: 0.1, bytes: 10, standardError: 1 }],
  }) as unknown as LayerSensitivity;

it('layers that were not measured get the mean of those of their shape and role', () => {
  const layers = [
    layer('a', 'query', 8, 1),
    layer('b', 'query', 8, 3),
    layer('c', 'key', 8, 10),
    layer('d', 'query', 8),
    layer('e', 'output', 8),
    layer('f', 'query', 16),
  ];
  const { table, measured } = estimateUnmeasured({ layers } as unknown as SensitivityProfile);
  expect(measured).toBe(3);
  expect(table.layers.slice(0, 3)).toEqual(layers.slice(0, 3));
  const estimated = table.layers.slice(3).map(({ entries: [first] }) => first?.distance);
  // By role; by shape alone; no layer has the shape.
  expect(estimated).toEqual([2, expect.closeTo(14 / 3), undefined]);
  expect(table.layers[3]?.entries[0]).not.toHaveProperty('standardError');
});
