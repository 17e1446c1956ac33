import { McpStdioServerDefinition } from 'vscode';
import type { Uri } from 'vscode';
import { editorOperations, toolName } from '../core/operations/tool-names';
import { ownCommandLine } from './own-command-line';

/** The command line's tools for agents of the editor, but those that the editor has itself, as jobs. */
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
