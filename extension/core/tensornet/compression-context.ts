import type { MachineCosts } from './costs/machine-costs';
import type { InputStatistics } from './statistics/statistics-accumulator';
import type { MatrixProducts } from '../linear-algebra/matrix-products';
import type { Rows } from '../linear-algebra/matrix-source';
import type { ModelSummary } from '../models/model-summary';

/** Settings of compression; the same for all matrices of a model except for the statistics. */
export interface CompressionContext {
  readonly products: MatrixProducts;
  /** Statistics of the layer's inputs; only needed by some variants. */
  readonly statistics?: Pick<InputStatistics, 'count' | 'gram' | 'meanMagnitudes'>;
  readonly seed?: number;
  /** Storage type of factors and cores; float32 by default. */
  readonly dtype?: 'F32' | 'F16';
  /** Operators for group-quantized matrices; MatMulNBits by default. */
  readonly run?: 'matmul-nbits' | 'qdq';
  /** Execution of MPOs; by default contracted, or the faster one according to `costs`. */
  readonly mpoRun?: 'contracted' | 'chained';
  /** Costs of matmuls on this machine, and the typical number of rows; 1 in text generation. */
  readonly costs?: { readonly machine: MachineCosts; readonly rows: number };
}

/** Matrix to compress. */
export interface MatrixWork {
  readonly context: CompressionContext;
  /** Name of the layer, for errors. */
  readonly name: string;
  readonly matrix: Rows;
}

/** Storage type of a model's factors and cores: 16 bits if most of its weights have 16. */
export function storageDtype({ dtypes }: Pick<ModelSummary, 'dtypes'>): 'F32' | 'F16' {
  const { F32 = 0, F16 = 0, BF16 = 0 } = dtypes as Partial<Record<string, number>>;
  return F16 + BF16 > F32 ? 'F16' : 'F32';
}
