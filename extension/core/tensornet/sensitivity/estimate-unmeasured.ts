import type { LayerSensitivity, SensitivityEntry, SensitivityProfile } from './sensitivity-profile';

/** Profile in which layers that were not measured have estimates. */
export interface EstimatedProfile {
  readonly table: SensitivityProfile;
  /** Number of linear layers that were measured. */
  readonly measured: number;
}

/**
 * Completes a profile that was stopped at its deadline. A layer that was not measured gets the mean distances of the
 * measured layers of its shape and role, or of its shape if none has its role. It stays without entries if no measured
 * layer has its shape.
 */
export function estimateUnmeasured(table: SensitivityProfile): EstimatedProfile {
  const measured = table.layers.filter(({ entries }) => entries.length > 0);
  const layers = table.layers.map((layer) => {
    if (layer.entries.length > 0) {
      return layer;
    }
    const sameShape = measured.filter((one) => one.out === layer.out && one.in === layer.in);
    const sameRole = sameShape.filter(({ role }) => role === layer.role);
    return { ...layer, entries: meanEntries(sameRole.length > 0 ? sameRole : sameShape) };
  });
  return { table: { ...table, layers }, measured: measured.length };
}

function meanEntries(layers: readonly LayerSensitivity[]): SensitivityEntry[] {
  const [first, ...others] = layers;
  return (first?.entries ?? []).map((entry, i) => {
    const same = [entry, ...others.flatMap(({ entries }) => entries[i] ?? [])];
    const mean = (value: (one: SensitivityEntry) => number): number =>
      same.reduce((sum, one) => sum + value(one), 0) / same.length;
    const estimate = {
      ...entry,
      distance: mean((one) => one.distance),
      error: mean((one) => one.error),
    };
    // The standard error of the first layer does not apply to the mean.
    Reflect.deleteProperty(estimate, 'standardError');
    return estimate;
  });
}
