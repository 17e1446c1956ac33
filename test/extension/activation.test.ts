import assert from 'node:assert/strict';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import * as vscode from 'vscode';
import { agentServer } from '../../extension/services/agent-server';
import { activate, workspacePath } from './support';

interface Manifest {
  readonly contributes: { readonly commands: readonly { readonly command: string }[] };
}

describe('the extension', () => {
  const extension = vscode.extensions.getExtension('espalier.espalier');

  it('activates', async () => {
    assert.ok(extension);
    await extension.activate();
    assert.equal(extension.isActive, true);
  });

  it('registers every command that its manifest contributes', async () => {
    assert.ok(extension);
    const manifest = extension.packageJSON as Manifest;
    const contributed = manifest.contributes.commands.map(({ command }) => command);
    const registered = new Set(await vscode.commands.getCommands(true));
    assert.ok(contributed.length >= 7);
    assert.deepEqual(
      contributed.filter((command) => !registered.has(command)),
      [],
    );
  });

  it('runs in a workspace that holds the sample model', async () => {
    const [folder] = vscode.workspace.workspaceFolders ?? [];
    assert.ok(folder);
    const config = vscode.Uri.joinPath(folder.uri, 'sample', 'config.json');
    const { architectures } = JSON.parse(
      new TextDecoder().decode(await vscode.workspace.fs.readFile(config)),
    ) as { architectures: string[] };
    assert.deepEqual(architectures, ['LlamaForCausalLM']);
  });

  it('offers tools to agents that return the results of the commands', async () => {
    const model = workspacePath('sample');
    const tool = 'espalier_inspect_model';
    assert.ok(vscode.lm.tools.some(({ name }) => name === tool));
    const { content } = await vscode.lm.invokeTool(tool, {
      input: { model },
      toolInvocationToken: undefined,
    });
    const [part] = content;
    assert.ok(part instanceof vscode.LanguageModelTextPart);
    const { result } = JSON.parse(part.value) as { result: { fingerprint: string } };
    const { models } = await activate();
    const { fingerprint } = await models.summary(model);
    assert.equal(result.fingerprint, fingerprint);
  });

  it('offers agents a server that starts with the editor’s own runtime', async () => {
    assert.ok(extension);
    const { command, args, env } = agentServer(extension.extensionUri, '0.1.0');
    const client = new Client({ name: 'test', version: '0' });
    await client.connect(
      new StdioClientTransport({ command, args, env: env as Record<string, string> }),
    );
    const { tools } = await client.listTools();
    const names = tools.map(({ name }) => name);
    assert.ok(names.includes('list_tensors'));
    // An agent sees each once: this one is a tool of the editor.
    assert.ok(!names.includes('inspect_model'));
    assert.equal(client.getServerVersion()?.name, 'espalier');
    await client.close();
  });
});
