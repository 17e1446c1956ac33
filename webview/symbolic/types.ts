import type { SymbolicCalls, SymbolicState } from '../../extension/protocol/symbolic';
import type { Panel } from '../kit/start-panel';
import type { View } from './view-state';

export type Evolution = NonNullable<SymbolicState['evolution']>;
export type Iteration = Evolution['iterations'][number];
export type Model = Iteration['models'][number];
export type WrittenProgram = Model['program'];
export type SymbolicPanel = Panel<SymbolicState, SymbolicCalls, View>;

/** Where a model stands: its population and its number there, both from 0 on. */
export interface Place {
  readonly iteration: number;
  readonly model: number;
}
