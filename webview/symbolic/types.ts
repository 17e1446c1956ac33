import type { SymbolicState } from '../../extension/protocol/symbolic';

export type Evolution = NonNullable<SymbolicState['evolution']>;
export type Iteration = Evolution['iterations'][number];
export type Model = Iteration['models'][number];
export type WrittenProgram = Model['program'];

/** Position of a model: its population and its number there, both from 0. */
export interface Place {
  readonly iteration: number;
  readonly model: number;
}
