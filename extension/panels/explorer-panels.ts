import { stat } from 'node:fs/promises';
import { commands, Uri, window } from 'vscode';
import type { Disposable, WebviewPanel, WebviewPanelSerializer } from 'vscode';
import type { ExplorerRestore } from '../protocol/explorer';
import { ExplorerSession } from '../services/explorer-session';
import type { Inspector } from '../services/explorer-session';
import type { OpenModels } from '../services/open-models';
import { describeError } from '../services/report-error';
import type { Reports } from '../services/reports';
import type { Explorers } from '../services/services';
import { readWorth } from '../services/worth';
import { ExplorerPanel } from './explorer-panel';
import { messageHtml } from './panel-html';

/** Weight files, which the editor of their own opens. */
const weightFile = /\.(safetensors|gguf|onnx)$/i;

/** The open explorer panels: one for each path, and the custom editors. */
export class ExplorerPanels implements Explorers, WebviewPanelSerializer, Disposable {
  /** Of the custom editor for weight files. */
  public static readonly editorViewType = 'espalier.modelExplorer';

  readonly #extension: Uri;
  readonly #inspector: Inspector;
  readonly #reports: Reports;
  readonly #panels = new Set<ExplorerPanel>();
  readonly #models: OpenModels;
  readonly #registration: Disposable;

  public constructor(extension: Uri, inspector: Inspector, reports: Reports, models: OpenModels) {
    this.#extension = extension;
    this.#inspector = inspector;
    this.#reports = reports;
    this.#models = models;
    this.#registration = window.registerWebviewPanelSerializer(ExplorerPanel.viewType, this);
  }

  public get panels(): readonly ExplorerPanel[] {
    return [...this.#panels];
  }

  public get active(): ExplorerSession | undefined {
    return this.panels.find((panel) => panel.active)?.session;
  }

  public async show(path: string): Promise<ExplorerSession> {
    // What is wrong with a model is said before a tab is opened for it.
    await this.#inspector.request('describe', { model: path });
    const open = this.panels.find((panel) => panel.session.path === path);
    if (open !== undefined) {
      open.reveal();
      await open.session.opened();
      return open.session;
    }
    if (weightFile.test(path) && (await stat(path)).isFile()) {
      const { editorViewType } = ExplorerPanels;
      await commands.executeCommand('vscode.openWith', Uri.file(path), editorViewType);
      const opened = this.panels.find((panel) => panel.session.path === path);
      if (opened !== undefined) {
        await opened.session.opened();
        return opened.session;
      }
    }
    const session = this.#session(path);
    this.#keep(ExplorerPanel.create(this.#extension, this.#reports, session));
    await session.open();
    return session;
  }

  /** Fills a webview that VS Code has made: for a custom editor, or after a window reload. */
  public async fill(panel: WebviewPanel, path: string): Promise<void> {
    const session = this.#session(path);
    this.#keep(new ExplorerPanel(panel, this.#extension, this.#reports, session));
    await session.open();
  }

  public async deserializeWebviewPanel(panel: WebviewPanel, saved: unknown): Promise<void> {
    const path: unknown = typeof saved === 'object' && saved !== null && Reflect.get(saved, key);
    if (typeof path === 'string') {
      await this.fill(panel, path);
    } else {
      panel.webview.html = messageHtml(panel.title, 'The panel kept no model.');
    }
  }

  public dispose(): void {
    // The panels stay: closing them here would keep them from coming back after a reload.
    this.#registration.dispose();
  }

  #session(path: string): ExplorerSession {
    return new ExplorerSession(this.#inspector, path, describeError, async (model) =>
      readWorth(model, this.#models),
    );
  }

  #keep(panel: ExplorerPanel): void {
    this.#panels.add(panel);
    panel.onDidDispose(() => this.#panels.delete(panel));
  }
}

const key: keyof ExplorerRestore = 'path';
