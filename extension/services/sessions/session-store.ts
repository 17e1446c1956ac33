import type { Memento } from 'vscode';
import type { PlannedWidthPruning } from '../../core/models/width-pruning/planned-width-pruning';
import type { PlannedPatch } from '../../core/plans/plan';
import type { ProfileEvaluation } from '../../core/prune/layer-profile';
import type { Selection } from './selection';

/** What is remembered of a model between windows. */
export interface StoredSession {
  /** Of the model that all this is about. */
  readonly fingerprint: string;
  readonly selection: Selection;
  /** True if the user has chosen it. */
  readonly isChosen: boolean;
  /** Perplexities by choiceKey. */
  readonly evaluations: Readonly<Record<string, ProfileEvaluation>>;
  /** Patches planned for it, their files by absolute path. */
  readonly patches?: readonly PlannedPatch[];
  /** What sublayers lose that stay. */
  readonly narrow?: readonly PlannedWidthPruning[];
}

/** The workspace's memory of sessions, so that a panel survives a window reload. */
export class SessionStore {
  readonly #memento: Memento;

  public constructor(memento: Memento) {
    this.#memento = memento;
  }

  /** What was kept under a name, unless the model has changed since. */
  public get(name: string, fingerprint: string): StoredSession | undefined {
    const stored = this.#memento.get<StoredSession>(keyOf(name));
    return stored?.fingerprint === fingerprint ? stored : undefined;
  }

  public async set(name: string, session: StoredSession): Promise<void> {
    await this.#memento.update(keyOf(name), session);
  }
}

const keyOf = (name: string): string => `session:${name}`;
