import { join } from 'node:path';
import { workspace } from 'vscode';
import { documentNames } from '../../core/document-names';
import { evolutionSettings } from '../../core/operations/synthesize';
import type { SynthesisRequest } from '../../core/operations/synthesize';
import { fileExists } from '../documents/documents';
import type { Documents } from '../documents/documents';
import type { JobRecord } from '../jobs/job-record';
import type { JobService } from '../jobs/job-service';
import { jobDocument } from '../jobs/panel-job';
import { describeError } from '../report-error';
import { Sessions } from './sessions';
import { SynthesisSession } from './synthesis-session';
import { explainSynthesisBlocked } from '../trust';

/** Evolutions that are or were shown, by document. */
export class SynthesisSessions extends Sessions<SynthesisSession> {
  protected readonly panel = 'symbolic';
  readonly #documents: Documents;

  public constructor(documents: Documents, jobs: JobService) {
    super(jobs);
    this.#documents = documents;
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
          unfinished: () => {
            const session = this.find(file);
            const jobs = session === undefined ? [] : this.listJobs(session);
            const job = jobs.find(({ state }) => state !== 'done');
            return job && evolutionSettings(job.request as SynthesisRequest);
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

  protected isAbout(job: JobRecord, { file }: SynthesisSession): boolean {
    const out = jobDocument(job);
    return out !== undefined && logPath(out) === file;
  }
}

/** The document that an evolution writes into its folder. */
export const logPath = (out: string): string =>
  join(out, `synthesis${documentNames.evolution.suffix}`);
