import { Disposable } from 'vscode';
import type { Uri, WebviewPanel } from 'vscode';
import type { CompressionPanels } from '../panels/compression-panels';
import { documentGlob, documentIds } from '../core/document-names';
import type { DocumentId } from '../core/document-names';
import type { DataMapPanels } from '../panels/data-map-panels';
import type { ExplorerPanels } from '../panels/explorer-panels';
import type { HeatmapPanels } from '../panels/heatmap-panels';
import { messageHtml } from '../panels/panel-html';
import type { SymbolicPanels } from '../panels/symbolic-panels';
import type { Host } from '../services/activation/host';
import { documentViews, weightsViewType } from '../services/documents/document-views';
import { describeError } from '../services/report-error';
import type { Services } from '../services/services';
import {
  explainDataUnreadable,
  explainSynthesisUnreadable,
  explainUnreadable,
} from '../services/trust';
import { watchDocuments } from '../services/documents/watch-documents';

/** Opens files in a panel. */
interface DocumentEditor {
  /** Why files of a scheme cannot be read, if so. */
  readonly whyUnreadable: (scheme: string) => string | undefined;
  /** Fills the webview that VS Code has made for a file. */
  readonly fill: (panel: WebviewPanel, path: string) => void | Promise<void>;
}

/** Editor support for a document type. */
interface HostDocument {
  /** Absent if the text editor opens them. */
  readonly editor?: DocumentEditor;
  /** Reloads after another program, such as the command line, changed the file. */
  readonly reload?: (path: string) => Promise<unknown>;
}

/** The panels of this window by content. */
export interface AllPanels {
  readonly heatmaps: HeatmapPanels;
  readonly compressions: CompressionPanels;
  readonly explorers: ExplorerPanels;
  readonly dataMaps: DataMapPanels;
  readonly syntheses: SymbolicPanels;
}

/** Fills the custom editors of weight files, which are opened by their headers alone, and of documents. */
export function documentEditors(all: DocumentServices): Host['resolveEditor'] {
  const documents = hostDocuments(all);
  const documentEntries = documentIds.flatMap((id): [string, DocumentEditor][] => {
    const { editor } = documents[id];
    const viewType = documentViews[id]?.viewType;
    return editor === undefined || viewType === undefined ? [] : [[viewType, editor]];
  });
  const weightsEditor: DocumentEditor = {
    whyUnreadable: explainUnreadable,
    fill: (panel, path) => void all.explorers.fill(panel, path),
  };
  const editors = new Map([[weightsViewType, weightsEditor], ...documentEntries]);
  return async (viewType, uri, panel) => resolveEditor(editors.get(viewType), uri, panel);
}

/** Updates views when their files change. */
export function watchAllDocuments(all: DocumentServices): Disposable {
  const documents = hostDocuments(all);
  return Disposable.from(
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
        whyUnreadable: explainUnreadable,
        fill: async (panel, path) => {
          heatmaps.fill(panel, await sessions.openProfile(path));
        },
      },
      reload: async (path) =>
        Promise.all([sessions.reload(path), compressionSessions.reloadProfile(path)]),
    },
    sensitivity: {
      editor: {
        whyUnreadable: explainUnreadable,
        fill: async (panel, path) => {
          compressions.fill(panel, await compressionSessions.openTable(path));
        },
      },
      reload: async (path) =>
        Promise.all([compressionSessions.reload(path), sessions.reloadPlans(path)]),
    },
    // The webviews of these are filled when their scripts run: VS Code need not wait for the files.
    scores: {
      editor: {
        whyUnreadable: explainDataUnreadable,
        fill: (panel, path) => void dataMaps.fill(panel, { scores: path }),
      },
      reload: async (path) => dataMaps.reload(path),
    },
    evolution: {
      editor: {
        whyUnreadable: explainSynthesisUnreadable,
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

async function resolveEditor(
  editor: DocumentEditor | undefined,
  { scheme, fsPath }: Uri,
  panel: WebviewPanel,
): Promise<void> {
  const unreadable = editor?.whyUnreadable(scheme);
  if (unreadable !== undefined) {
    panel.webview.html = messageHtml(panel.title, unreadable);
    return;
  }
  try {
    await editor?.fill(panel, fsPath);
  } catch (error) {
    panel.webview.html = messageHtml(panel.title, describeError(error));
  }
}
