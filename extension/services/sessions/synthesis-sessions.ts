import { join } from 'node:path';
import { workspace } from 'vscode';
import { documentNames } from '../../core/document-names';
import { evolutionSettings } from '../../core/operations/synthesize';
import { fileExists } from '../documents/documents';
import type { Documents } from '../documents/documents';
import type { JobRecord } from '../jobs/job-record';
import type { JobService } from '../jobs/job-service';
import { jobsAbout } from '../jobs/panel-job';
import { describeError } from '../report-error';
import { Sessions } from './sessions';
import { SynthesisSession } from './synthesis-session';
import { explainSynthesisBlocked } from '../trust';

/** Evolutions that are or were shown, by document. */
export class SynthesisSessions extends Sessions<SynthesisSession, 'synthesize'> {
  readonly #documents: Documents;

  public constructor(documents: Documents, jobs: JobService) {
    super(jobs);
    this.#documents = documents;
    const makeSession = ({ request }: JobRecord<'synthesize'>): SynthesisSession =>
      this.get(logPath(request.out));
    jobs.follow('synthesize', {
      begin: (job) => {
        makeSession(job).begin(evolutionSettings(job.request));
      },
      event: (event, job) => {
        makeSession(job).receive(event);
      },
      done: ({ document }, job) => {
        makeSession(job).finish(document);
      },
    });
  }

  /** The session of a document, which need not have been written yet. */
  public get(file: string): SynthesisSession {
    return (
      this.find(file) ??
      this.add(
        file,
        new SynthesisSession(file, {
          read: async (path) => this.#documents.read('evolution', path),
          view: async (state) => this.#documents.viewEvolution(state),
          exists: fileExists,
          describeError,
          unfinished: (path) => {
            const job = this.#findJobs(path).find(({ state }) => state !== 'done');
            return job && evolutionSettings(job.request);
          },
          blocked: () => explainSynthesisBlocked({ trusted: workspace.isTrusted, scheme: 'file' }),
        }),
      )
    );
  }

  /** Reads a shown document again after another program has written it. */
  public async reload(file: string): Promise<void> {
    await this.find(file)?.open();
  }

  protected isAbout({ model }: JobRecord, { file }: SynthesisSession): boolean {
    return file === logPath(model);
  }

  protected listJobs({ file }: SynthesisSession): readonly JobRecord<'synthesize'>[] {
    return this.#findJobs(file);
  }

  #findJobs(file: string): readonly JobRecord<'synthesize'>[] {
    return jobsAbout(
      this.jobs.jobs,
      ['synthesize'],
      ({ request }) => logPath(request.out) === file,
    );
  }
}

/** The document that an evolution writes into its folder. */
export const logPath = (out: string): string =>
  join(out, `synthesis${documentNames.evolution.suffix}`);
