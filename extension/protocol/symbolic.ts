import { string, tuple } from 'valibot';
import type { EvolutionView } from '../core/symbolic/evolution/evolution-view';
import type { PanelJob } from './jobs';
import type { CallSchemas } from './panel';

/** State of the panel of an evolution. */
export interface SymbolicState {
  /** Path of the document, which may not have been written yet. */
  readonly file: string;
  /** Undefined until the evolution is loaded. */
  readonly evolution: EvolutionView | undefined;
  /** Reason why it cannot be shown, if any. */
  readonly failure: string | undefined;
  readonly job: PanelJob;
  /** Reason why nothing can be trained, or undefined. */
  readonly blocked: string | undefined;
}

export interface SymbolicCalls {
  /** Reads the document again. */
  reload(): void;
  resume(): void;
  cancel(): void;
  openText(): void;
  copy(text: string): void;
}

export const symbolicCalls: CallSchemas<SymbolicCalls> = {
  reload: tuple([]),
  resume: tuple([]),
  cancel: tuple([]),
  openText: tuple([]),
  copy: tuple([string()]),
};
