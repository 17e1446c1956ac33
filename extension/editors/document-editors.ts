import { Disposable, window } from 'vscode';
import type { CustomDocument, CustomReadonlyEditorProvider, Uri, WebviewPanel } from 'vscode';
import type { CompressionPanels } from '../panels/compression-panels';
import { documentGlob, documentIds } from '../core/document-names';
import type { DocumentId } from '../core/document-names';
import type { DataMapPanels } from '../panels/data-map-panels';
import { ExplorerPanels } from '../panels/explorer-panels';
import type { HeatmapPanels } from '../panels/heatmap-panels';
import { messageHtml } from '../panels/panel-html';
import type { SymbolicPanels } from '../panels/symbolic-panels';
import { documentViews } from '../services/documents/document-views';
import { describeError } from '../services/report-error';
import type { Services } from '../services/services';
import { whyDataUnreadable, whySynthesisUnreadable, whyUnreadable } from '../services/trust';
import { watchDocuments } from '../services/documents/watch-documents';

/** Opens files in a panel. */
interface DocumentEditor {
  readonly viewType: string;
  /** Why files of a scheme cannot be read, if so. */
  readonly whyUnreadable: (scheme: string) => string | undefined;
  /** Fills the webview that VS Code has made for a file. */
  readonly fill: (panel: WebviewPanel, path: string) => void | Promise<void>;
}

/** What the host does with documents of a type. */
interface HostDocument {
  /** Absent where the text editor shows them. */
  readonly editor?: Omit<DocumentEditor, 'viewType'>;
  /** Shows again what something else has written, such as the command line. */
  readonly reload?: (path: string) => Promise<unknown>;
}

/** The panels of this window, by what they show. */
export interface AllPanels {
  readonly heatmaps: HeatmapPanels;
  readonly compressions: CompressionPanels;
  readonly explorers: ExplorerPanels;
  readonly dataMaps: DataMapPanels;
  readonly syntheses: SymbolicPanels;
}

/**
 * The custom editors of weight files, which are opened by their headers alone, and of documents; and
 * watchers that keep what is shown in step with the files.
 */
export function registerDocuments(all: DocumentServices): Disposable {
  const documents = hostDocuments(all);
  const { explorers } = all;
  const editors: readonly DocumentEditor[] = [
    {
      viewType: ExplorerPanels.editorViewType,
      whyUnreadable,
      fill: (panel, path) => void explorers.fill(panel, path),
    },
    ...documentIds.flatMap((id): DocumentEditor[] => {
      const { editor } = documents[id];
      const viewType = documentViews[id]?.viewType;
      return editor === undefined || viewType === undefined ? [] : [{ viewType, ...editor }];
    }),
  ];
  return Disposable.from(
    ...editors.map((editor) =>
      window.registerCustomEditorProvider(editor.viewType, providerOf(editor)),
    ),
    ...documentIds.flatMap((id) => {
      const { reload } = documents[id];
      return reload === undefined ? [] : [watchDocuments(documentGlob(id), reload)];
    }),
  );
}

type DocumentServices = AllPanels &
  Pick<Services, 'sessions' | 'compressionSessions' | 'synthesisSessions'>;

function hostDocuments({
  sessions,
  heatmaps,
  compressionSessions,
  compressions,
  dataMaps,
  synthesisSessions,
  syntheses,
}: DocumentServices): Readonly<Record<DocumentId, HostDocument>> {
  return {
    layerProfile: {
      editor: {
        whyUnreadable,
        fill: async (panel, path) => {
          heatmaps.fill(panel, await sessions.openProfile(path));
        },
      },
      reload: async (path) =>
        Promise.all([sessions.reload(path), compressionSessions.reloadProfile(path)]),
    },
    sensitivity: {
      editor: {
        whyUnreadable,
        fill: async (panel, path) => {
          compressions.fill(panel, await compressionSessions.openTable(path));
        },
      },
      reload: async (path) => compressionSessions.reload(path),
    },
    // The webviews of these are filled when their scripts run: VS Code need not wait for the files.
    scores: {
      editor: {
        whyUnreadable: whyDataUnreadable,
        fill: (panel, path) => void dataMaps.fill(panel, { scores: path }),
      },
      reload: async (path) => dataMaps.reload(path),
    },
    evolution: {
      editor: {
        whyUnreadable: whySynthesisUnreadable,
        fill: (panel, path) => void syntheses.fill(panel, path),
      },
      reload: async (path) => synthesisSessions.reload(path),
    },
    plan: {},
    textScores: {},
    selection: {},
    experiment: {},
    evaluation: {},
  };
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
