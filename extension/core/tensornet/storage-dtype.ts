import type { ModelSummary } from '../models/model-summary';

/** Storage type of a model's factors and cores: 16 bits if most of its weights have 16. */
export function storageDtype({ dtypes }: Pick<ModelSummary, 'dtypes'>): 'F32' | 'F16' {
  const { F32 = 0, F16 = 0, BF16 = 0 } = dtypes as Partial<Record<string, number>>;
  return F16 + BF16 > F32 ? 'F16' : 'F32';
}
