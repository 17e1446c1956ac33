import { lm, McpStdioServerDefinition, workspace } from 'vscode';
import type { Disposable, ExtensionContext, Uri } from 'vscode';
import { editorOperations, toolName } from '../core/operations/tool-names';
import { ownCommandLine } from './own-command-line';

/**
 * Offers the command line's tools to agents of the editor, but those that the editor has itself, as jobs; a workspace
 * that is not trusted gets none.
 */
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

export function agentServer(extensionUri: Uri, version: string): McpStdioServerDefinition {
  const { program, script, env } = ownCommandLine(extensionUri);
  return new McpStdioServerDefinition(
    'Espalier',
    program,
    [script, 'mcp', '--except', editorOperations.map(toolName).join(',')],
    env,
    version,
  );
}
