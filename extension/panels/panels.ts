import { basename, dirname } from 'node:path';
import { Disposable, l10n, ViewColumn, window } from 'vscode';
import type { Event, Uri, WebviewPanel, WebviewPanelSerializer } from 'vscode';
import { describeError } from '../services/report-error';
import { messageHtml } from './panel-html';

interface OpenPanel<Session> {
  readonly session: Session;
  readonly visible: boolean;
  readonly active: boolean;
  readonly onDidDispose: Event<void>;
}

/** The open panels of a kind: tabs and custom editors. */
export abstract class Panels<Session, P extends OpenPanel<Session>>
  implements WebviewPanelSerializer, Disposable
{
  protected readonly extension: Uri;
  readonly #panels = new Set<P>();
  readonly #registrations: Disposable;

  protected constructor(extension: Uri, ...registrations: readonly Disposable[]) {
    this.extension = extension;
    this.#registrations = Disposable.from(...registrations);
  }

  public get panels(): readonly P[] {
    return [...this.#panels];
  }

  /** The session of the panel that has the focus. */
  public get active(): Session | undefined {
    return this.panels.find((panel) => panel.active)?.session;
  }

  /** True if a visible panel shows a session. */
  public isShown(session: Session): boolean {
    return this.panels.some((panel) => panel.visible && panel.session === session);
  }

  /** After a window reload: fills a tab from what its webview has kept. */
  public async deserializeWebviewPanel(panel: WebviewPanel, saved: unknown): Promise<void> {
    try {
      await this.restore(panel, saved);
    } catch (error) {
      panel.webview.html = messageHtml(panel.title, describeError(error));
    }
  }

  public dispose(): void {
    // The panels stay: closing them here would keep them from coming back after a reload.
    this.#registrations.dispose();
  }

  /** Restores the tab. Closes it if another tab shows the same by now. */
  protected abstract restore(panel: WebviewPanel, saved: unknown): void | Promise<void>;

  protected keep(panel: P): void {
    this.#panels.add(panel);
    panel.onDidDispose(() => this.#panels.delete(panel));
  }
}

/** Creates a tab for a panel. */
export function newTab(
  { viewType }: { readonly viewType: string },
  title: string,
  path: string,
  viewColumn = ViewColumn.Active,
): WebviewPanel {
  const shown = distinctTitle(title, path);
  return window.createWebviewPanel(viewType, shown, { viewColumn, preserveFocus: false }, {});
}

/** Title, with the folder added if another tab has the same title. */
function distinctTitle(title: string, path: string): string {
  const isTaken = window.tabGroups.all.some(({ tabs }) =>
    tabs.some(({ label }) => label === title),
  );
  return isTaken ? l10n.t('{0} ({1})', title, basename(dirname(path))) : title;
}

/** A text of what a webview has kept, if it is there. */
export function savedText(saved: unknown, name: string): string | undefined {
  const value: unknown = typeof saved === 'object' && saved !== null && Reflect.get(saved, name);
  return typeof value === 'string' ? value : undefined;
}

/** @throws Error if it does not exist */
export function requireSavedText(saved: unknown, name: string): string {
  const text = savedText(saved, name);
  if (text === undefined) {
    throw new Error(l10n.t('The panel has no saved state to restore.'));
  }
  return text;
}
