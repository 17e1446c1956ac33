import { window } from 'vscode';
import type {
  CustomDocument,
  CustomReadonlyEditorProvider,
  Disposable,
  Uri,
  WebviewPanel,
} from 'vscode';
import type { CompressionPanels } from '../panels/compression-panels';
import { messageHtml } from '../panels/panel-html';
import type { CompressionSessions } from '../services/compression-sessions';
import { describeError } from '../services/report-error';
import { whyUnreadable } from '../services/trust';

/** Opens `*.sensitivity.json` as a compression panel. */
export class SensitivityEditor implements CustomReadonlyEditorProvider {
  public static readonly viewType = 'espalier.sensitivity';

  readonly #sessions: CompressionSessions;
  readonly #panels: CompressionPanels;

  private constructor(sessions: CompressionSessions, panels: CompressionPanels) {
    this.#sessions = sessions;
    this.#panels = panels;
  }

  public static register(sessions: CompressionSessions, panels: CompressionPanels): Disposable {
    return window.registerCustomEditorProvider(
      SensitivityEditor.viewType,
      new SensitivityEditor(sessions, panels),
    );
  }

  public openCustomDocument(uri: Uri): CustomDocument {
    return { uri, dispose: () => undefined };
  }

  public async resolveCustomEditor({ uri }: CustomDocument, panel: WebviewPanel): Promise<void> {
    const unreadable = whyUnreadable(uri.scheme);
    if (unreadable !== undefined) {
      panel.webview.html = messageHtml(panel.title, unreadable);
      return;
    }
    try {
      this.#panels.fill(panel, await this.#sessions.openTable(uri.fsPath));
    } catch (error) {
      panel.webview.html = messageHtml(panel.title, describeError(error));
    }
  }
}
