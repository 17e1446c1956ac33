import { stat } from 'node:fs/promises';
import { commands, l10n, Uri } from 'vscode';
import type { WebviewPanel } from 'vscode';
import { ExplorerSession } from '../services/sessions/explorer-session';
import type { Inspector } from '../services/sessions/explorer-session';
import type { KnownDrifts } from '../services/sessions/update-panels';
import type { OpenModels } from '../services/documents/open-models';
import { describeError } from '../services/report-error';
import type { Reports } from '../services/reports/reports';
import type { Explorers } from '../services/services';
import type { Documents } from '../services/documents/documents';
import { readImportance } from '../services/documents/importance';
import { explorerPanel } from './explorer-panel';
import type { ExplorerDefinition, ExplorerPanel } from './explorer-panel';
import { weightsViewType } from '../services/documents/document-views';
import { newTab, Panels, requireSavedText } from './panels';
import { SessionPanel } from './session-panel';

/** Weight files, which have their own custom editor. */
const weightFile = /\.(safetensors|gguf|onnx)$/i;

/** The open explorer panels: one for each path, and the custom editors. */
export class ExplorerPanels extends Panels<ExplorerSession, ExplorerPanel> implements Explorers {
  readonly #inspector: Inspector;
  readonly #definition: ExplorerDefinition;
  readonly #models: OpenModels;
  readonly #documents: Documents;
  readonly #drifts: KnownDrifts;

  public constructor(
    extension: Uri,
    inspector: Inspector,
    reports: Reports,
    models: OpenModels,
    documents: Documents,
    drifts: KnownDrifts,
  ) {
    const definition = explorerPanel(reports);
    super(extension);
    this.#definition = definition;
    this.#inspector = inspector;
    this.#models = models;
    this.#documents = documents;
    this.#drifts = drifts;
    drifts.changed.listen((model) => {
      for (const { session } of this.panels.filter((one) => one.session.model?.path === model)) {
        session.setDrift(drifts.of(model));
      }
    });
  }

  public async show(path: string): Promise<ExplorerSession> {
    // Errors of a model are shown before a tab opens for it.
    await this.#inspector.request('describe', { model: path });
    const open = this.panels.find((panel) => panel.session.path === path);
    if (open !== undefined) {
      open.show(open.session);
      await open.session.opened();
      return open.session;
    }
    if (weightFile.test(path) && (await stat(path)).isFile()) {
      await commands.executeCommand('vscode.openWith', Uri.file(path), weightsViewType);
      const opened = this.panels.find((panel) => panel.session.path === path);
      if (opened !== undefined) {
        await opened.session.opened();
        return opened.session;
      }
    }
    const session = this.#session(path);
    this.#keep(newTab(this.#definition, this.#definition.getTitle(session), session.path), session);
    await session.open();
    return session;
  }

  /** Fills a webview that VS Code has made: for a custom editor, or after a window reload. */
  public async fill(panel: WebviewPanel, path: string): Promise<void> {
    const session = this.#session(path);
    this.#keep(panel, session);
    await session.open();
  }

  protected async restore(panel: WebviewPanel, saved: unknown): Promise<void> {
    const path = requireSavedText(saved, 'path');
    const open = this.panels.find(({ session }) => session.path === path);
    if (open === undefined) {
      await this.fill(panel, path);
    } else {
      panel.dispose();
      open.show(open.session);
    }
  }

  #keep(panel: WebviewPanel, session: ExplorerSession): void {
    const made = new SessionPanel(panel, this.extension, this.#definition, session);
    made.onDidDispose(() => {
      session.dispose();
    });
    this.keep(made);
    void session.opened().then(() => {
      session.setDrift(this.#drifts.of(session.model?.path ?? ''));
    });
  }

  #session(path: string): ExplorerSession {
    return new ExplorerSession(
      this.#inspector,
      path,
      describeError,
      async (model) => readImportance(model, this.#models, this.#documents),
      l10n.uri?.fsPath,
    );
  }
}
