import type { FromSymbolic, ToSymbolic } from '../../extension/protocol/symbolic';

export type EvolutionMessage = Extract<ToSymbolic, { type: 'evolution' }>;
export type Evolution = NonNullable<EvolutionMessage['evolution']>;
export type Iteration = Evolution['iterations'][number];
export type Model = Iteration['models'][number];
export type WrittenProgram = Model['program'];
export type Job = Extract<ToSymbolic, { type: 'job' }>['job'];

/** Where a model stands: its population and its number there, both from 0 on. */
export interface Place {
  readonly iteration: number;
  readonly model: number;
}

/** What the parts of the panel tell the host. */
export type Send = (message: FromSymbolic) => void;
