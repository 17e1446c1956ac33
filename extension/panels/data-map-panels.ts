import { commands, Disposable, Uri, workspace } from 'vscode';
import type { WebviewPanel } from 'vscode';
import type { ScoredSource } from '../core/datadiet/scores/scored-data';
import type { PanelJob } from '../protocol/jobs';
import { DataMapSession } from '../services/sessions/data-map-session';
import type { DataReader } from '../services/sessions/data-map-session';
import type { DataMarks } from '../services/sessions/data-marks';
import { viewTypes } from '../services/documents/document-views';
import { isScores } from '../services/documents/documents';
import type { JobService } from '../services/jobs/job-service';
import { getOperation } from '../services/jobs/operations';
import { jobDocument, panelJobs, selectPanelJob } from '../services/jobs/panel-job';
import { describeError } from '../services/report-error';
import type { DataMaps } from '../services/sessions/data-maps';
import { refreshOnTrust, explainDataBlocked } from '../services/trust';
import { dataMapPanel } from './data-map-panel';
import type { DataMapPanel } from './data-map-panel';
import { newTab, Panels, requireSavedText, savedText } from './panels';
import { SessionPanel } from './session-panel';

/** The open data maps: one for each file of scores, tabs and custom editors. */
export class DataMapPanels extends Panels<DataMapSession, DataMapPanel> implements DataMaps {
  readonly #reader: DataReader;
  readonly #marks: DataMarks;
  readonly #jobs: JobService;

  public constructor(extension: Uri, reader: DataReader, marks: DataMarks, jobs: JobService) {
    super(
      extension,
      refreshOnTrust(() => this.panels.map(({ session }) => session)),
      Disposable.from(
        jobs.changed.listen(({ request }) => {
          for (const { session } of this.panels) {
            const { scores } = session.source;
            const isItsOwn = 'scores' in request && request.scores === scores;
            // The place of a job that waits changes with others.
            if (isItsOwn || session.job.kind === 'queued') {
              session.setJob(this.#exportJob(scores));
            }
          }
        }),
      ),
    );
    this.#jobs = jobs;
    this.#reader = reader;
    this.#marks = marks;
  }

  public async show(source: ScoredSource): Promise<DataMapSession> {
    const known = this.#find(source);
    if (known !== undefined) {
      known.show(known.session);
      if (source.data !== undefined && source.data !== known.session.source.data) {
        await known.session.chooseData(source.data);
      }
      await known.session.opened();
      return known.session;
    }
    if (isScores(source.scores) && source.data === undefined) {
      await commands.executeCommand('vscode.openWith', Uri.file(source.scores), viewTypes.scores);
      const opened = this.#find(source);
      if (opened !== undefined) {
        await opened.session.opened();
        return opened.session;
      }
    }
    const session = this.#session(source);
    await this.#open(newTab(dataMapPanel, dataMapPanel.getTitle(session), source.scores), session);
    return session;
  }

  public async session(source: ScoredSource): Promise<DataMapSession> {
    const known = this.#find(source)?.session;
    const session = known ?? this.#session(source);
    if (known === undefined) {
      await session.open();
    }
    await session.opened();
    return session;
  }

  /** Fills a webview that VS Code has made: for a custom editor, or after a window reload. */
  public async fill(panel: WebviewPanel, source: ScoredSource): Promise<void> {
    await this.#open(panel, this.#session(source));
  }

  /** Reads scores again that something else has written. */
  public async reload(scores: string): Promise<void> {
    await this.#find({ scores })?.session.open();
  }

  public async reloadData(data: string): Promise<void> {
    await Promise.all(this.#of(data).map(async ({ session }) => session.open()));
  }

  public shows(path: string): boolean {
    return this.panels.some(
      ({ visible, session }) =>
        visible && (session.source.scores === path || session.data?.path === path),
    );
  }

  protected async restore(panel: WebviewPanel, saved: unknown): Promise<void> {
    const data = savedText(saved, 'data');
    const scores = requireSavedText(saved, 'scores');
    const known = this.#find({ scores });
    if (known !== undefined) {
      panel.dispose();
      known.show(known.session);
      return;
    }
    await this.fill(panel, { scores, ...(data === undefined ? {} : { data }) });
  }

  async #open(panel: WebviewPanel, session: DataMapSession): Promise<void> {
    this.keep(new SessionPanel(panel, this.extension, dataMapPanel, session));
    await session.open();
  }

  #of(data: string): readonly DataMapPanel[] {
    return this.panels.filter(({ session }) => session.data?.path === data);
  }

  /** Progress of writing the subset selected from scores. */
  #exportJob(scores: string): PanelJob {
    const jobs = panelJobs(
      this.#jobs.jobs,
      'dataMap',
      (job) => jobDocument(job) === scores && getOperation(job.operation).lane === 'dataReader',
    );
    return selectPanelJob(this.#jobs, jobs);
  }

  #find({ scores }: Pick<ScoredSource, 'scores'>): DataMapPanel | undefined {
    return this.panels.find((panel) => panel.session.source.scores === scores);
  }

  #session(source: ScoredSource): DataMapSession {
    const session = new DataMapSession(this.#reader, source, {
      marks: this.#marks.get(source.scores),
      save: (marks) => {
        void this.#marks.set(source.scores, marks);
      },
      describeError,
      blocked: () => explainDataBlocked({ trusted: workspace.isTrusted, scheme: 'file' }),
    });
    session.setJob(this.#exportJob(source.scores));
    return session;
  }
}
