import { Disposable, window } from 'vscode';
import type { CustomDocument, CustomReadonlyEditorProvider, Uri, WebviewPanel } from 'vscode';
import type { CompressionPanels } from '../panels/compression-panels';
import { DataMapPanels } from '../panels/data-map-panels';
import { ExplorerPanels } from '../panels/explorer-panels';
import type { HeatmapPanels } from '../panels/heatmap-panels';
import { messageHtml } from '../panels/panel-html';
import type { SymbolicPanels } from '../panels/symbolic-panels';
import { describeError } from '../services/report-error';
import type { Services } from '../services/services';
import { whyDataUnreadable, whySynthesisUnreadable, whyUnreadable } from '../services/trust';

/** Opens files of a kind in a panel. */
interface DocumentEditor {
  readonly viewType: string;
  /** Why files of a scheme cannot be read, if so. */
  readonly whyUnreadable: (scheme: string) => string | undefined;
  /** Fills the webview that VS Code has made for a file. */
  readonly fill: (panel: WebviewPanel, path: string) => void | Promise<void>;
}

/** The panels of this window, by what they show. */
export interface AllPanels {
  readonly heatmaps: HeatmapPanels;
  readonly compressions: CompressionPanels;
  readonly explorers: ExplorerPanels;
  readonly dataMaps: DataMapPanels;
  readonly syntheses: SymbolicPanels;
}

/** The custom editors of weight files, which are opened by their headers alone, and of what Espalier writes. */
export function registerDocumentEditors({
  sessions,
  heatmaps,
  compressionSessions,
  compressions,
  explorers,
  dataMaps,
  syntheses,
}: AllPanels & Pick<Services, 'sessions' | 'compressionSessions'>): Disposable {
  const editors: readonly DocumentEditor[] = [
    {
      viewType: 'espalier.layerProfile',
      whyUnreadable,
      fill: async (panel, path) => {
        heatmaps.fill(panel, await sessions.openProfile(path));
      },
    },
    {
      viewType: 'espalier.sensitivity',
      whyUnreadable,
      fill: async (panel, path) => {
        compressions.fill(panel, await compressionSessions.openTable(path));
      },
    },
    // The webviews of these are filled when their scripts run: VS Code need not wait for the files.
    {
      viewType: ExplorerPanels.editorViewType,
      whyUnreadable,
      fill: (panel, path) => void explorers.fill(panel, path),
    },
    {
      viewType: DataMapPanels.editorViewType,
      whyUnreadable: whyDataUnreadable,
      fill: (panel, path) => void dataMaps.fill(panel, { scores: path }),
    },
    {
      viewType: 'espalier.symbolicEditor',
      whyUnreadable: whySynthesisUnreadable,
      fill: (panel, path) => void syntheses.fill(panel, path),
    },
  ];
  return Disposable.from(
    ...editors.map((editor) =>
      window.registerCustomEditorProvider(editor.viewType, providerOf(editor)),
    ),
  );
}

function providerOf({ whyUnreadable: why, fill }: DocumentEditor): CustomReadonlyEditorProvider {
  return {
    openCustomDocument: (uri: Uri): CustomDocument => ({ uri, dispose: () => undefined }),
    resolveCustomEditor: async ({ uri }, panel) => {
      const unreadable = why(uri.scheme);
      if (unreadable !== undefined) {
        panel.webview.html = messageHtml(panel.title, unreadable);
        return;
      }
      try {
        await fill(panel, uri.fsPath);
      } catch (error) {
        panel.webview.html = messageHtml(panel.title, describeError(error));
      }
    },
  };
}
