import { commands, Disposable, EventEmitter, l10n, Uri, ViewColumn, window } from 'vscode';
import type { WebviewPanel } from 'vscode';
import { findingsOf } from '../core/tensornet/sensitivity/findings';
import type { CompressionState, FromCompression, ToCompression } from '../protocol/compression';
import { commandIds } from '../services/command-ids';
import type { CompressionField, CompressionSession } from '../services/compression-session';
import { Throttle } from '../services/throttle';
import { panelHtml, webviewRoot } from './panel-html';

/** A running job tells more often than a screen needs to be drawn. */
const patchMilliseconds = 150;

/** One webview that shows what compression costs, in a tab of its own or as a custom editor. */
export class CompressionPanel implements Disposable {
  public static readonly viewType = 'espalier.compression';

  readonly #panel: WebviewPanel;
  readonly #disposables: Disposable[] = [];
  readonly #changed = new Set<CompressionField>();
  readonly #measured = new Set<string>();
  readonly #send = new Throttle(() => {
    this.#sendChanges();
  }, patchMilliseconds);
  readonly #disposed = new EventEmitter<void>();
  #session: CompressionSession;
  #listening: Disposable;
  /** The webview's script runs and has the state. */
  #ready = false;

  public readonly onDidDispose = this.#disposed.event;

  public constructor(panel: WebviewPanel, extension: Uri, session: CompressionSession) {
    this.#panel = panel;
    this.#session = session;
    this.#listening = this.#listen(session);
    const { webview } = panel;
    webview.options = { enableScripts: true, localResourceRoots: [webviewRoot(extension)] };
    panel.iconPath = {
      light: Uri.joinPath(extension, 'media', 'compression-light.svg'),
      dark: Uri.joinPath(extension, 'media', 'compression-dark.svg'),
    };
    this.#disposables.push(
      webview.onDidReceiveMessage((message: FromCompression) => {
        this.#receive(message);
      }),
      panel.onDidChangeViewState(() => {
        // A hidden webview is thrown away; shown again, its script runs anew and says `ready`.
        this.#ready &&= panel.visible;
      }),
      panel.onDidDispose(() => {
        this.dispose();
      }),
      this.#send,
    );
    webview.html = panelHtml('compression', webview, extension, CompressionPanel.titleOf(session));
  }

  /** A new tab beside the file that is being looked at. */
  public static create(extension: Uri, session: CompressionSession): CompressionPanel {
    const panel = window.createWebviewPanel(
      CompressionPanel.viewType,
      CompressionPanel.titleOf(session),
      { viewColumn: ViewColumn.Active, preserveFocus: false },
      {},
    );
    return new CompressionPanel(panel, extension, session);
  }

  public static titleOf({ model }: CompressionSession): string {
    return l10n.t('Compression: {0}', model.name);
  }

  public get session(): CompressionSession {
    return this.#session;
  }

  public get visible(): boolean {
    return this.#panel.visible;
  }

  public get active(): boolean {
    return this.#panel.active;
  }

  /** The webview has drawn the state at least once. */
  public get ready(): boolean {
    return this.#ready;
  }

  /** Brings the tab to the front; the model may have changed on disk since. */
  public reveal(session: CompressionSession): void {
    if (session !== this.#session) {
      this.#listening.dispose();
      this.#session = session;
      this.#listening = this.#listen(session);
      this.#sendState();
    }
    this.#panel.reveal();
  }

  public dispose(): void {
    this.#listening.dispose();
    Disposable.from(...this.#disposables.splice(0)).dispose();
    this.#disposed.fire();
    this.#disposed.dispose();
    this.#panel.dispose();
  }

  #listen(session: CompressionSession): Disposable {
    return Disposable.from(
      session.changed.listen((fields) => {
        for (const field of fields) {
          this.#changed.add(field);
        }
        this.#send.trigger();
      }),
      session.measured.listen((tensor) => {
        this.#measured.add(tensor);
        this.#send.trigger();
      }),
    );
  }

  #sendState(): void {
    this.#changed.clear();
    this.#measured.clear();
    this.#post({ type: 'state', state: this.#session.snapshot() });
  }

  #sendChanges(): void {
    if (!this.#ready) {
      return;
    }
    if (this.#changed.size > 0) {
      const state = this.#session.snapshot();
      const patch: Partial<CompressionState> = Object.fromEntries(
        [...this.#changed].map((field) => [field, state[field]]),
      );
      const cleared = [...this.#changed].filter((field) => state[field] === undefined);
      this.#post({ type: 'patch', patch, cleared });
      if (this.#changed.has('table')) {
        this.#measured.clear();
      }
      this.#changed.clear();
    }
    const { table } = this.#session;
    if (this.#measured.size > 0 && table !== undefined) {
      const layers = this.#session.layers(this.#measured);
      this.#measured.clear();
      this.#post({ type: 'layers', layers, findings: findingsOf(table) });
    }
  }

  #post(message: ToCompression): void {
    void this.#panel.webview.postMessage(message);
  }

  #receive(message: FromCompression): void {
    const session = this.#session;
    const run = (command: string, ...args: readonly unknown[]): void => {
      void commands.executeCommand(command, ...args);
    };
    switch (message.type) {
      case 'ready':
        this.#ready = true;
        this.#sendState();
        break;
      case 'profile':
        run(commandIds.profileSensitivity, session);
        break;
      case 'resume':
        if (session.job.kind === 'stopped' && session.job.what === 'compress') {
          run(commandIds.resumeJob, undefined, { kind: 'compress', model: session.model.path });
        } else {
          run(commandIds.resumeSensitivity, session);
        }
        break;
      case 'cancel':
        run(commandIds.cancelJob, session.job.kind === 'running' ? session.job.what : undefined);
        break;
      case 'plan':
        run(commandIds.planCompression, session, message.choice);
        break;
      case 'forgetPlan':
        session.setPlan(undefined);
        break;
      case 'savePlan':
        run(commandIds.saveCompressionPlan, session);
        break;
      case 'compress':
        run(commandIds.compressModel, session);
        break;
      case 'openHeatmap':
        run(commandIds.openHeatmap, Uri.file(session.model.path));
        break;
      case 'openText':
        run('vscode.openWith', Uri.file(session.file), 'default', ViewColumn.Beside);
        break;
      case 'showLog':
        run(commandIds.showLog);
        break;
    }
  }
}
