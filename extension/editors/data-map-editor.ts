import { window } from 'vscode';
import type {
  CustomDocument,
  CustomReadonlyEditorProvider,
  Disposable,
  Uri,
  WebviewPanel,
} from 'vscode';
import { DataMapPanels } from '../panels/data-map-panels';
import { messageHtml } from '../panels/panel-html';
import { whyDataUnreadable } from '../services/trust';

/** Opens `*.scores.json` as a data map. */
export class DataMapEditor implements CustomReadonlyEditorProvider {
  readonly #panels: DataMapPanels;

  private constructor(panels: DataMapPanels) {
    this.#panels = panels;
  }

  public static register(panels: DataMapPanels): Disposable {
    return window.registerCustomEditorProvider(
      DataMapPanels.editorViewType,
      new DataMapEditor(panels),
    );
  }

  public openCustomDocument(uri: Uri): CustomDocument {
    return { uri, dispose: () => undefined };
  }

  public async resolveCustomEditor({ uri }: CustomDocument, panel: WebviewPanel): Promise<void> {
    const unreadable = whyDataUnreadable(uri.scheme);
    if (unreadable === undefined) {
      // The webview is filled when its script runs: VS Code need not wait for the data set.
      void this.#panels.fill(panel, { scores: uri.fsPath });
    } else {
      panel.webview.html = messageHtml(panel.title, unreadable);
    }
    return Promise.resolve();
  }
}
