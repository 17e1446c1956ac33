import { Disposable, EventEmitter, l10n, lm, window, workspace } from 'vscode';
import type { Extension, TextDocument, TreeDataProvider } from 'vscode';
import { isDocument } from '../../core/document-names';
import { panelViewTypes } from './panel-view-types';
import { viewTypes, weightsViewType } from '../documents/document-views';
import { viewIds } from './host';
import type { LoadHost } from './host';
import { registerCommands } from './register-commands';

const objectKeys = <T extends object>(of: T): (keyof T)[] => Object.keys(of) as (keyof T)[];

/** Registers all that VS Code may ask for; each loads the host when it is asked. */
export function registerAll(
  { packageJSON }: Pick<Extension<unknown>, 'packageJSON'>,
  load: LoadHost,
): Disposable {
  return Disposable.from(
    registerCommands(load),
    ...objectKeys(viewIds).map((name) => registerView(name, load)),
    ...objectKeys(panelViewTypes).map((name) =>
      window.registerWebviewPanelSerializer(panelViewTypes[name], {
        deserializeWebviewPanel: async (panel, saved) =>
          (await load()).panels[name].deserializeWebviewPanel(panel, saved),
      }),
    ),
    ...[weightsViewType, ...Object.values(viewTypes)].map((viewType) =>
      window.registerCustomEditorProvider(viewType, {
        openCustomDocument: (uri) => ({ uri, dispose: () => undefined }),
        resolveCustomEditor: async ({ uri }, panel) =>
          (await load()).resolveEditor(viewType, uri, panel),
      }),
    ),
    ...toolNames(packageJSON).map((name) =>
      lm.registerTool<Readonly<Record<string, unknown>>>(name, {
        prepareInvocation: async (options, token) =>
          (await load()).tool(name).prepareInvocation(options, token),
        invoke: async (options, token) => (await load()).tool(name).invoke(options, token),
      }),
    ),
    lm.registerMcpServerDefinitionProvider('espalier', {
      onDidChangeMcpServerDefinitions: workspace.onDidGrantWorkspaceTrust,
      // Untrusted workspaces get none.
      provideMcpServerDefinitions: async () =>
        workspace.isTrusted ? (await load()).agentServers() : [],
    }),
    loadForDocuments(load),
  );
}

function registerView(name: keyof typeof viewIds, load: LoadHost): Disposable {
  const changed = new EventEmitter<unknown>();
  let provider: Promise<TreeDataProvider<unknown>> | undefined;
  const loaded = async (): Promise<TreeDataProvider<unknown>> =>
    (provider ??= load()
      .then(({ views }) => {
        views[name].onDidChangeTreeData?.((element) => {
          changed.fire(element);
        });
        return views[name];
      })
      .catch((error: unknown) => {
        provider = undefined;
        throw error;
      }));
  const treeDataProvider: TreeDataProvider<unknown> = {
    onDidChangeTreeData: changed.event,
    getChildren: async (element) => (await loaded()).getChildren(element),
    getTreeItem: async (element) => (await loaded()).getTreeItem(element),
  };
  return Disposable.from(
    changed,
    window.createTreeView(viewIds[name], { treeDataProvider, showCollapseAll: name === 'models' }),
  );
}

/** Loads the host in the background; failures are reported. */
export function loadQuietly(load: LoadHost): void {
  load().catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    void window.showErrorMessage(
      l10n.t('Espalier could not start: {0} Reload the window.', reason),
    );
  });
}

/** Loads the host for documents that it annotates in the text editor. */
function loadForDocuments(load: LoadHost): Disposable {
  const look = ({ uri }: TextDocument): void => {
    if (
      uri.scheme === 'file' &&
      (isDocument('plan', uri.path) || uri.path.endsWith('/config.json'))
    ) {
      loadQuietly(load);
    }
  };
  for (const document of workspace.textDocuments) look(document);
  return workspace.onDidOpenTextDocument(look);
}

function toolNames(packageJson: unknown): string[] {
  const { contributes } = packageJson as {
    readonly contributes: { readonly languageModelTools: readonly { readonly name: string }[] };
  };
  return contributes.languageModelTools.map(({ name }) => name);
}
