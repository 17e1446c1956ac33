import type { BudgetChoice, ShownTable } from '../../extension/protocol/compression';

export type Layer = ShownTable['layers'][number];
/** Embedding or head. */
export type EmbeddingOrHead = NonNullable<ShownTable['embeddingAndHead']>[number];
export type Matrix = Layer | EmbeddingOrHead;
export type Entry = Layer['entries'][number];
export type Role = Layer['role'];
export type CompressionScheme = BudgetChoice['schemes'][number];
export type Method = CompressionScheme['method'];
export type BudgetUnit = BudgetChoice['limits'][number]['unit'];

/** In what a form is no better than the dense matrix. */
export type Drawback = 'bytes' | 'flops' | 'time';
