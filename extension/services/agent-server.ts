import process from 'node:process';
import { lm, McpStdioServerDefinition, Uri, workspace } from 'vscode';
import type { Disposable, ExtensionContext } from 'vscode';

/** Offers the command line's tools to agents of the editor; a workspace that is not trusted gets none. */
export function offerAgentServer({ extension, extensionUri }: ExtensionContext): Disposable {
  return lm.registerMcpServerDefinitionProvider('espalier', {
    onDidChangeMcpServerDefinitions: workspace.onDidGrantWorkspaceTrust,
    provideMcpServerDefinitions: () =>
      workspace.isTrusted
        ? [
            agentServer(
              extensionUri,
              String((extension.packageJSON as { readonly version: unknown }).version),
            ),
          ]
        : [],
  });
}

/** How the server is started: by the runtime of the editor, so that no Node has to be there. */
export function agentServer(extensionUri: Uri, version: string): McpStdioServerDefinition {
  return new McpStdioServerDefinition(
    'Espalier',
    process.execPath,
    [Uri.joinPath(extensionUri, 'dist', 'cli.js').fsPath, 'mcp'],
    { ELECTRON_RUN_AS_NODE: '1' },
    version,
  );
}
