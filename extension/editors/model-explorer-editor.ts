import { window } from 'vscode';
import type {
  CustomDocument,
  CustomReadonlyEditorProvider,
  Disposable,
  Uri,
  WebviewPanel,
} from 'vscode';
import { ExplorerPanels } from '../panels/explorer-panels';
import { messageHtml } from '../panels/panel-html';
import { whyUnreadable } from '../services/trust';

/** Opens weight files by their headers: nothing of their contents is read, however large they are. */
export class ModelExplorerEditor implements CustomReadonlyEditorProvider {
  readonly #panels: ExplorerPanels;

  private constructor(panels: ExplorerPanels) {
    this.#panels = panels;
  }

  public static register(panels: ExplorerPanels): Disposable {
    return window.registerCustomEditorProvider(
      ExplorerPanels.editorViewType,
      new ModelExplorerEditor(panels),
    );
  }

  public openCustomDocument(uri: Uri): CustomDocument {
    return { uri, dispose: () => undefined };
  }

  public async resolveCustomEditor({ uri }: CustomDocument, panel: WebviewPanel): Promise<void> {
    const unreadable = whyUnreadable(uri.scheme);
    if (unreadable === undefined) {
      // The webview is filled when its script runs: VS Code need not wait for the description.
      void this.#panels.fill(panel, uri.fsPath);
    } else {
      panel.webview.html = messageHtml(panel.title, unreadable);
    }
    return Promise.resolve();
  }
}
