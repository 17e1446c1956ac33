import { join } from 'node:path';
import { workspace } from 'vscode';
import { documentNames } from '../core/document-names';
import { evolutionSettings } from '../core/operations/synthesize';
import { fileExists, readEvolution } from './documents';
import type { JobRecord } from './jobs/job-record';
import type { JobService } from './jobs/job-service';
import { jobsAbout, panelJobOf } from './jobs/panel-job';
import { describeError } from './report-error';
import { SynthesisSession } from './synthesis-session';
import { whySynthesisBlocked } from './trust';

/** Evolutions that are or were shown, by document. */
export class SynthesisSessions {
  readonly #jobs: JobService;
  readonly #sessions = new Map<string, SynthesisSession>();

  public constructor(jobs: JobService) {
    this.#jobs = jobs;
    jobs.changed.listen(({ model }) => {
      for (const session of this.#sessions.values()) {
        // The place of a job that waits changes with others.
        if (session.file === logOf(model) || session.job.kind === 'queued') {
          session.setJob(panelJobOf(jobs, this.#jobsOf(session.file)));
        }
      }
    });
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
      unfinished: (path) => {
        const job = this.#jobsOf(path).find(({ state }) => state !== 'done');
        return job && evolutionSettings(job.request);
      },
      blocked: () => whySynthesisBlocked({ trusted: workspace.isTrusted, scheme: 'file' }),
    });
    session.setJob(panelJobOf(this.#jobs, this.#jobsOf(file)));
    this.#sessions.set(file, session);
    return session;
  }

  /** Reads a document again that something else has written, where it is shown. */
  public async reload(file: string): Promise<void> {
    await this.#sessions.get(file)?.open();
  }

  #jobsOf(file: string): readonly JobRecord<'synthesize'>[] {
    return jobsAbout(this.#jobs.jobs, ['synthesize'], ({ request }) => logOf(request.out) === file);
  }
}

/** The document that an evolution writes into its folder. */
export const logOf = (out: string): string =>
  join(out, `synthesis${documentNames.evolution.suffix}`);
