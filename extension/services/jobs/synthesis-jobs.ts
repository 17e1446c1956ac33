import { basename } from 'node:path';
import { l10n } from 'vscode';
import { formatPercent } from '../../core/format';
import { evolutionSettings } from '../../core/operations/synthesize';
import type { RequestOfOperation } from '../../protocol/worker';
import type { JobRecord } from './job-record';
import type { JobService } from './job-service';
import type { ResultOf } from './operations';
import type { SynthesisSession } from '../sessions/synthesis-session';
import { logOf } from '../sessions/synthesis-sessions';
import type { SynthesisSessions } from '../sessions/synthesis-sessions';

/** Runs evolutions of symbolic modules, and keeps their sessions up to date. */
export class SynthesisJobs {
  readonly #jobs: JobService;

  /** @param isShown whether a panel shows a session now */
  public constructor(
    jobs: JobService,
    sessions: SynthesisSessions,
    isShown: (session: SynthesisSession) => boolean,
  ) {
    this.#jobs = jobs;
    const sessionOf = ({ request }: JobRecord<'synthesize'>): SynthesisSession =>
      sessions.get(logOf(request.out));
    jobs.handle('synthesize', {
      begin: (job) => {
        sessionOf(job).begin(evolutionSettings(job.request));
      },
      event: (event, job) => {
        sessionOf(job).receive(event);
      },
      done: ({ document }, job) => {
        sessionOf(job).finish(document);
        const { name, metrics } = document.best;
        return {
          summary: l10n.t(
            'the best module is {0}, accuracy {1} on test data.',
            ...[name, formatPercent(metrics.test)],
          ),
          shown: true,
        };
      },
      isShown: (job) => isShown(sessionOf(job)),
    });
  }

  public async run(request: RequestOfOperation<'synthesize'>): Promise<ResultOf<'synthesize'>> {
    return this.#jobs.run({ operation: 'synthesize', name: basename(request.out), request });
  }
}
