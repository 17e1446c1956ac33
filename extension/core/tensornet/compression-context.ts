import type { InputStatistics } from './statistics/input-statistics';
import type { MatrixProducts, Rows } from './matrix-products';

/** What compression runs with, the same for all matrices of a model but for the statistics. */
export interface CompressionContext {
  readonly products: MatrixProducts;
  /** Of the inputs of the layer at hand; only some variants need them. */
  readonly statistics?: Pick<InputStatistics, 'gram' | 'meanMagnitudes'>;
  readonly seed?: number;
  /** How factors and cores are stored; float32 if absent. */
  readonly dtype?: 'F32' | 'F16';
  /** How block-quantized matrices are to run; MatMulNBits if absent. */
  readonly run?: 'matmul-nbits' | 'qdq';
  /** How MPOs are to run; contracted if absent. */
  readonly mpoRun?: 'contracted' | 'chained';
}

/** A matrix that is being compressed. */
export interface MatrixWork {
  readonly context: CompressionContext;
  /** Of the layer, for errors. */
  readonly name: string;
  readonly matrix: Rows;
}
