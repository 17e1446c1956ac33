import type {
  BudgetChoice,
  CompressionCalls,
  CompressionState,
  ShownTable,
} from '../../extension/protocol/compression';
import type { Panel } from '../kit/start-panel';
import type { View } from './view-state';

export type CompressionPanel = Panel<CompressionState, CompressionCalls, View>;

export type Layer = ShownTable['layers'][number];
/** Embedding or head. */
export type Outer = NonNullable<ShownTable['outer']>[number];
export type Matrix = Layer | Outer;
export type Entry = Layer['entries'][number];
export type Role = Layer['role'];
export type Way = BudgetChoice['ways'][number];
export type Method = Way['method'];
export type BudgetUnit = BudgetChoice['budget']['unit'];
