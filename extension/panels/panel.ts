import { Disposable, EventEmitter, Uri, ViewColumn, window } from 'vscode';
import type { WebviewPanel } from 'vscode';
import type { PanelJob } from '../protocol/jobs';
import { panelHtml, webviewRoot } from './panel-html';
import type { PanelName } from './panel-html';

/** What a kind of panel is called: its bundle and icons, and its tabs. */
export interface PanelKind {
  readonly name: PanelName;
  readonly viewType: string;
}

/** What a webview asks for, beyond saying that its script runs. */
export type Asked<From> = Exclude<From, { readonly type: 'ready' }>;

/** One webview that shows a session, in a tab of its own or as a custom editor. */
export abstract class Panel<
  Session,
  From extends { readonly type: string },
  To,
> implements Disposable {
  protected readonly disposables: Disposable[] = [];
  readonly #panel: WebviewPanel;
  readonly #disposed = new EventEmitter<void>();
  /** The webview's script runs. */
  #ready = false;

  public readonly onDidDispose = this.#disposed.event;

  protected constructor(panel: WebviewPanel, extension: Uri, { name }: PanelKind, title: string) {
    this.#panel = panel;
    const { webview } = panel;
    webview.options = { enableScripts: true, localResourceRoots: [webviewRoot(extension)] };
    panel.iconPath = {
      light: Uri.joinPath(extension, 'media', `${name}-light.svg`),
      dark: Uri.joinPath(extension, 'media', `${name}-dark.svg`),
    };
    this.disposables.push(
      webview.onDidReceiveMessage((message: From) => {
        if (message.type === 'ready') {
          this.#ready = true;
          this.sendState();
        } else {
          void this.receive(message as Asked<From>);
        }
      }),
      panel.onDidChangeViewState(() => {
        // A hidden webview is thrown away; shown again, its script runs anew and says `ready`.
        this.#ready &&= panel.visible;
      }),
      panel.onDidDispose(() => {
        this.dispose();
      }),
    );
    webview.html = panelHtml(name, webview, extension, title);
  }

  public abstract get session(): Session;

  public get visible(): boolean {
    return this.#panel.visible;
  }

  public get active(): boolean {
    return this.#panel.active;
  }

  /** The webview's script runs and has been told the state. */
  public get ready(): boolean {
    return this.#ready;
  }

  /** Brings the tab to the front. */
  public reveal(): void {
    this.#panel.reveal();
  }

  public dispose(): void {
    Disposable.from(...this.disposables.splice(0)).dispose();
    this.#disposed.fire();
    this.#disposed.dispose();
    this.#panel.dispose();
  }

  protected post(message: To): void {
    void this.#panel.webview.postMessage(message);
  }

  /** Tells a script that has just started everything. */
  protected abstract sendState(): void;

  protected abstract receive(message: Asked<From>): void | Promise<void>;
}

/** Id of the job that a panel tells of. */
export const idOf = (job: PanelJob<string>): string | undefined =>
  job.kind === 'idle' ? undefined : job.id;

/** A new tab for a panel. */
export function newTab(
  { viewType }: { readonly viewType: string },
  title: string,
  viewColumn = ViewColumn.Active,
): WebviewPanel {
  return window.createWebviewPanel(viewType, title, { viewColumn, preserveFocus: false }, {});
}
