import { window } from 'vscode';
import type {
  CustomDocument,
  CustomReadonlyEditorProvider,
  Disposable,
  Uri,
  WebviewPanel,
} from 'vscode';
import { SymbolicPanels } from '../panels/symbolic-panels';
import { messageHtml } from '../panels/panel-html';
import { whySynthesisUnreadable } from '../services/trust';

/** Opens `*.gssnn.json` as the evolution that it is the log of. */
export class SymbolicEditor implements CustomReadonlyEditorProvider {
  readonly #panels: SymbolicPanels;

  private constructor(panels: SymbolicPanels) {
    this.#panels = panels;
  }

  public static register(panels: SymbolicPanels): Disposable {
    return window.registerCustomEditorProvider(
      SymbolicPanels.editorViewType,
      new SymbolicEditor(panels),
    );
  }

  public openCustomDocument(uri: Uri): CustomDocument {
    return { uri, dispose: () => undefined };
  }

  public async resolveCustomEditor({ uri }: CustomDocument, panel: WebviewPanel): Promise<void> {
    const unreadable = whySynthesisUnreadable(uri.scheme);
    if (unreadable === undefined) {
      // The webview is filled when its script runs: VS Code need not wait for the file.
      void this.#panels.fill(panel, uri.fsPath);
    } else {
      panel.webview.html = messageHtml(panel.title, unreadable);
    }
    return Promise.resolve();
  }
}
