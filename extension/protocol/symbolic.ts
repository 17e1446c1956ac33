import type { EvolutionView } from '../core/symbolic/evolution/evolution-view';
import type { PanelJob } from './jobs';

/** The evolution's job, as the panel tells of it. */
export type SynthesisJob = PanelJob<'synthesize'>;

/** What the webview keeps with `setState`, so that a serializer can bring back the same panel. */
export interface SymbolicRestore {
  /** Path of the document, which may not have been written yet. */
  readonly file: string;
}

/** host → webview */
export type ToSymbolic =
  | {
      readonly type: 'evolution';
      readonly file: string;
      /** Undefined while nothing is known of it. */
      readonly evolution: EvolutionView | undefined;
    }
  | { readonly type: 'job'; readonly job: SynthesisJob }
  | { readonly type: 'failed'; readonly message: string }
  /** The sentence that says why nothing can be trained, if so. */
  | { readonly type: 'blocked'; readonly reason?: string };

/** webview → host */
export type FromSymbolic =
  | { readonly type: 'ready' }
  | { readonly type: 'reload' }
  | { readonly type: 'resume' }
  | { readonly type: 'cancel' }
  | { readonly type: 'openText' }
  | { readonly type: 'copy'; readonly text: string };
