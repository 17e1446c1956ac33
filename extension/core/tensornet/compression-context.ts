import type { MachineCosts } from './costs/machine-costs';
import type { InputStatistics } from './statistics/input-statistics';
import type { MatrixProducts } from '../linear-algebra/matrix-products';
import type { Rows } from '../linear-algebra/matrix-source';

/** What compression runs with, the same for all matrices of a model but for the statistics. */
export interface CompressionContext {
  readonly products: MatrixProducts;
  /** Of the inputs of the layer at hand; only some variants need them. */
  readonly statistics?: Pick<InputStatistics, 'count' | 'gram' | 'meanMagnitudes'>;
  readonly seed?: number;
  /** How factors and cores are stored; float32 if absent. */
  readonly dtype?: 'F32' | 'F16';
  /** How block-quantized matrices are to run; MatMulNBits if absent. */
  readonly run?: 'matmul-nbits' | 'qdq';
  /** How MPOs are to run; by default contracted, or what `costs` tells to be faster. */
  readonly mpoRun?: 'contracted' | 'chained';
  /** What products cost here, and the rows that most products have; 1 in text generation. */
  readonly costs?: { readonly machine: MachineCosts; readonly rows: number };
}

/** A matrix that is being compressed. */
export interface MatrixWork {
  readonly context: CompressionContext;
  /** Of the layer, for errors. */
  readonly name: string;
  readonly matrix: Rows;
}
