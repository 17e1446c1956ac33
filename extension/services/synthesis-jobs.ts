import { basename, dirname } from 'node:path';
import type { SynthesisResult } from '../core/symbolic/evolution/synthesize';
import type { SynthesizeRequest } from '../protocol/worker';
import type { Jobs } from './jobs';
import { describeInPanel } from './report-error';
import type { SynthesisSession } from './synthesis-session';
import { logOf } from './synthesis-sessions';
import type { SynthesisSessions } from './synthesis-sessions';
import { RequestCancelled, WorkerRequestError } from './worker-errors';

/** Runs evolutions of symbolic modules. */
export class SynthesisJobs {
  readonly #jobs: Jobs;
  readonly #sessions: SynthesisSessions;
  readonly #isShown: (session: SynthesisSession) => boolean;
  readonly #shownErrors = new WeakSet();

  public constructor(
    jobs: Jobs,
    sessions: SynthesisSessions,
    isShown: (session: SynthesisSession) => boolean,
  ) {
    this.#jobs = jobs;
    this.#sessions = sessions;
    this.#isShown = isShown;
  }

  public async run(request: SynthesizeRequest): Promise<SynthesisResult> {
    this.#jobs.assertFree();
    const session = this.#sessions.get(logOf(request.out));
    // Stays where the window closes meanwhile.
    await this.#sessions.setInterrupted(request);
    session.begin(request.settings);
    try {
      const result = await this.#jobs.run('synthesize', request, {
        name: basename(dirname(session.file)),
        model: session.file,
        shownInPanel: this.#isShown(session),
        onProgress: (progress) => {
          session.progress(progress);
        },
        onEvent: (event) => {
          session.receive(event);
        },
      });
      await this.#sessions.setInterrupted(undefined);
      session.finish(result.document);
      return result;
    } catch (error) {
      if (error instanceof RequestCancelled) {
        session.stop('cancelled');
      } else {
        session.stop('failed', describeInPanel(error));
        this.#remember(error, session);
      }
      // What is wrong with the request is wrong the next time too.
      if (error instanceof WorkerRequestError) {
        await this.#sessions.setInterrupted(undefined);
      }
      throw error;
    }
  }

  /** Whether a panel has told of the error. */
  public hasShown(error: unknown): boolean {
    return typeof error === 'object' && error !== null && this.#shownErrors.has(error);
  }

  #remember(error: unknown, session: SynthesisSession): void {
    if (typeof error === 'object' && error !== null && this.#isShown(session)) {
      this.#shownErrors.add(error);
    }
  }
}
