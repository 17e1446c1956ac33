import type { ModelSummary } from '../models/model-summary';

/** How factors and cores of a model are stored: in 16 bits where most of its weights are. */
export function storageDtype({ dtypes }: Pick<ModelSummary, 'dtypes'>): 'F32' | 'F16' {
  const { F32 = 0, F16 = 0, BF16 = 0 } = dtypes as Partial<Record<string, number>>;
  return F16 + BF16 > F32 ? 'F16' : 'F32';
}
