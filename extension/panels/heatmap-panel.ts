import { commands, Disposable, EventEmitter, l10n, Uri, ViewColumn, window } from 'vscode';
import type { WebviewPanel } from 'vscode';
import type { FromHeatmap, HeatmapState, ToHeatmap } from '../protocol/heatmap';
import { commandIds } from '../services/command-ids';
import type { ModelSession, StateField } from '../services/model-session';
import { Throttle } from '../services/throttle';
import { panelHtml, webviewRoot } from './panel-html';

/** A running search tells more often than a screen needs to be drawn. */
const patchMilliseconds = 100;

/** One webview that shows a session, in an editor tab of its own or as a custom editor. */
export class HeatmapPanel implements Disposable {
  public static readonly viewType = 'espalier.heatmap';

  readonly #panel: WebviewPanel;
  readonly #disposables: Disposable[] = [];
  readonly #changed = new Set<StateField>();
  readonly #patch = new Throttle(() => {
    this.#sendPatch();
  }, patchMilliseconds);
  readonly #disposed = new EventEmitter<void>();
  #session: ModelSession;
  #listening: { dispose(): void };
  /** The webview's script runs and has the state. */
  #ready = false;

  public readonly onDidDispose = this.#disposed.event;

  public constructor(panel: WebviewPanel, extension: Uri, session: ModelSession) {
    this.#panel = panel;
    this.#session = session;
    this.#listening = this.#listen(session);
    const { webview } = panel;
    webview.options = { enableScripts: true, localResourceRoots: [webviewRoot(extension)] };
    panel.iconPath = {
      light: Uri.joinPath(extension, 'media', 'heatmap-light.svg'),
      dark: Uri.joinPath(extension, 'media', 'heatmap-dark.svg'),
    };
    this.#disposables.push(
      webview.onDidReceiveMessage((message: FromHeatmap) => {
        this.#receive(message);
      }),
      panel.onDidChangeViewState(() => {
        // A hidden webview is thrown away; shown again, its script runs anew and says `ready`.
        this.#ready &&= panel.visible;
      }),
      panel.onDidDispose(() => {
        this.dispose();
      }),
      this.#patch,
    );
    webview.html = panelHtml('heatmap', webview, extension, HeatmapPanel.titleOf(session));
  }

  /** A new tab beside the file that is being looked at. */
  public static create(extension: Uri, session: ModelSession): HeatmapPanel {
    const panel = window.createWebviewPanel(
      HeatmapPanel.viewType,
      HeatmapPanel.titleOf(session),
      { viewColumn: ViewColumn.Beside, preserveFocus: false },
      {},
    );
    return new HeatmapPanel(panel, extension, session);
  }

  public static titleOf(session: ModelSession): string {
    return l10n.t('Layer Heatmap: {0}', session.model.name);
  }

  public get session(): ModelSession {
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
  public reveal(session: ModelSession): void {
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

  #listen(session: ModelSession): { dispose(): void } {
    return session.changed.listen((fields) => {
      for (const field of fields) {
        this.#changed.add(field);
      }
      this.#patch.trigger();
    });
  }

  #sendState(): void {
    this.#changed.clear();
    this.#post({ type: 'state', state: this.#session.snapshot() });
  }

  #sendPatch(): void {
    if (!this.#ready || this.#changed.size === 0) {
      return;
    }
    const state = this.#session.snapshot();
    const patch: Partial<HeatmapState> = Object.fromEntries(
      [...this.#changed].map((field) => [field, state[field]]),
    );
    const cleared = [...this.#changed].filter((field) => state[field] === undefined);
    this.#changed.clear();
    this.#post({ type: 'patch', patch, cleared });
  }

  #post(message: ToHeatmap): void {
    void this.#panel.webview.postMessage(message);
  }

  #receive(message: FromHeatmap): void {
    const model = Uri.file(this.#session.model.path);
    switch (message.type) {
      case 'ready':
        this.#ready = true;
        this.#sendState();
        break;
      case 'selectRounds':
        this.#session.chooseRounds(message.rounds);
        break;
      case 'setMark':
        this.#session.chooseMark(message.sublayer, message.mark);
        break;
      case 'profile':
        void commands.executeCommand(commandIds.profileLayers, this.#session);
        break;
      case 'prune':
        void commands.executeCommand(commandIds.pruneLayers, this.#session);
        break;
      case 'evaluate':
        void commands.executeCommand(commandIds.evaluateModel, this.#session, { selection: true });
        break;
      case 'cancel': {
        const { job } = this.#session.snapshot();
        void commands.executeCommand(
          commandIds.cancelJob,
          job.kind === 'running' ? job.what : undefined,
        );
        break;
      }
      case 'resume':
        if (this.#session.job.kind === 'stopped' && this.#session.job.what === 'patch') {
          const filter = { kind: 'patch', model: model.fsPath };
          void commands.executeCommand(commandIds.resumeJob, undefined, filter);
        } else {
          void commands.executeCommand(commandIds.resumeProfile, this.#session);
        }
        break;
      case 'savePlan':
        void commands.executeCommand(commandIds.savePlan, this.#session);
        break;
      case 'openCompression':
        void commands.executeCommand(commandIds.openCompression, model);
        break;
      case 'openConfig':
        void commands.executeCommand('vscode.open', Uri.joinPath(model, 'config.json'), {
          viewColumn: ViewColumn.One,
        });
        break;
      case 'showLog':
        void commands.executeCommand(commandIds.showLog);
        break;
    }
  }
}
