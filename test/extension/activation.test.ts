import assert from 'node:assert/strict';
import * as vscode from 'vscode';

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
});
