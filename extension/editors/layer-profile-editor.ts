import { window } from 'vscode';
import type {
  CustomDocument,
  CustomReadonlyEditorProvider,
  Disposable,
  Uri,
  WebviewPanel,
} from 'vscode';
import { messageHtml } from '../panels/panel-html';
import type { HeatmapPanels } from '../panels/heatmap-panels';
import type { ModelSessions } from '../services/model-sessions';
import { describeError } from '../services/report-error';

/** Opens `*.layerprofile.json` as a heatmap. */
export class LayerProfileEditor implements CustomReadonlyEditorProvider {
  public static readonly viewType = 'espalier.layerProfile';

  readonly #sessions: ModelSessions;
  readonly #panels: HeatmapPanels;

  private constructor(sessions: ModelSessions, panels: HeatmapPanels) {
    this.#sessions = sessions;
    this.#panels = panels;
  }

  public static register(sessions: ModelSessions, panels: HeatmapPanels): Disposable {
    return window.registerCustomEditorProvider(
      LayerProfileEditor.viewType,
      new LayerProfileEditor(sessions, panels),
    );
  }

  public openCustomDocument(uri: Uri): CustomDocument {
    return { uri, dispose: () => undefined };
  }

  public async resolveCustomEditor(document: CustomDocument, panel: WebviewPanel): Promise<void> {
    try {
      this.#panels.fill(panel, await this.#sessions.openProfile(document.uri.fsPath));
    } catch (error) {
      panel.webview.html = messageHtml(panel.title, describeError(error));
    }
  }
}
