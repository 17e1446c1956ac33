import { join } from 'node:path';
import { workspace } from 'vscode';
import type { Memento } from 'vscode';
import { documentNames } from '../core/document-names';
import type { SynthesizeRequest } from '../protocol/worker';
import { fileExists, readEvolution } from './documents';
import { describeError } from './report-error';
import { SynthesisSession } from './synthesis-session';
import { whySynthesisBlocked } from './trust';

const key = 'interruptedSynthesis';

/** Evolutions that are or were shown, by document, and the one that has begun and not ended well. */
export class SynthesisSessions {
  readonly #memento: Memento;
  readonly #sessions = new Map<string, SynthesisSession>();

  public constructor(memento: Memento) {
    this.#memento = memento;
  }

  /** The evolution that can be gone on with: what it has trained is kept in its folder. */
  public get interrupted(): SynthesizeRequest | undefined {
    return this.#memento.get<SynthesizeRequest>(key);
  }

  public async setInterrupted(request: SynthesizeRequest | undefined): Promise<void> {
    await this.#memento.update(key, request);
  }

  public get known(): readonly SynthesisSession[] {
    return [...this.#sessions.values()];
  }

  /** The session of a document, which need not have been written yet. */
  public get(file: string): SynthesisSession {
    const known = this.#sessions.get(file);
    if (known !== undefined) {
      return known;
    }
    const session = new SynthesisSession(file, {
      read: readEvolution,
      exists: fileExists,
      describeError,
      interrupted: (path) => {
        const request = this.interrupted;
        return request !== undefined && logOf(request.out) === path ? request.settings : undefined;
      },
      blocked: () => whySynthesisBlocked({ trusted: workspace.isTrusted, scheme: 'file' }),
    });
    this.#sessions.set(file, session);
    return session;
  }

  /** Reads a document again that something else has written, where it is shown. */
  public async reload(file: string): Promise<void> {
    await this.#sessions.get(file)?.open();
  }
}

/** The document that an evolution writes into its folder. */
export const logOf = (out: string): string =>
  join(out, `synthesis${documentNames.evolution.suffix}`);
