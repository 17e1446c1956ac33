import type { Memento } from 'vscode';
import type { PlannedWidthPruning } from '../../core/models/width-pruning/width';
import type { PlannedPatch } from '../../core/plans/plan';
import type { ProfileEvaluation } from '../../core/prune/layer-profile';
import type { Selection } from './selection';

/** State of a model that is saved between windows. */
export interface StoredSession {
  /** Fingerprint of the model. */
  readonly fingerprint: string;
  readonly selection: Selection;
  /** True if the user has chosen it. */
  readonly isChosen: boolean;
  /** Perplexities by choiceKey. */
  readonly evaluations: Readonly<Record<string, ProfileEvaluation>>;
  /** Patches planned for it, their files by absolute path. */
  readonly patches?: readonly PlannedPatch[];
  /** Width pruning of the remaining sublayers. */
  readonly widths?: readonly PlannedWidthPruning[];
}

/** The workspace's memory of sessions, so that a panel survives a window reload. */
export class SessionStore {
  readonly #memento: Memento;

  public constructor(memento: Memento) {
    this.#memento = memento;
  }

  /** State saved under a name, unless the model has changed since. */
  public get(name: string, fingerprint: string): StoredSession | undefined {
    const stored = this.#memento.get<StoredSession>(storageKey(name));
    return stored?.fingerprint === fingerprint ? stored : undefined;
  }

  public async set(name: string, session: StoredSession): Promise<void> {
    await this.#memento.update(storageKey(name), session);
  }
}

const storageKey = (name: string): string => `session:${name}`;
