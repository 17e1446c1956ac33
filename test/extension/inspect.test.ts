import assert from 'node:assert/strict';
import { readFile, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import * as vscode from 'vscode';
import type { Espalier } from '../../extension/extension';
import { activate, placeFixture, until, workspacePath } from './support';

describe('Inspect Model', () => {
  let espalier: Espalier;
  let tiny: string;

  before(async () => {
    espalier = await activate();
    tiny = await placeFixture('llama-gqa-untied', 'inspected');
  });

  const inspect = async (path: string): Promise<string> => {
    const uri = await vscode.commands.executeCommand<vscode.Uri>(
      'espalier.inspectModel',
      vscode.Uri.file(path),
    );
    return (await vscode.workspace.openTextDocument(uri)).getText();
  };

  it('shows every sublayer of a model with its cost', async () => {
    const config = JSON.parse(await readFile(join(tiny, 'config.json'), 'utf8')) as {
      num_hidden_layers: number;
    };
    const text = await inspect(tiny);
    for (let block = 0; block < config.num_hidden_layers; block++) {
      assert.match(text, new RegExp(`block\\.${block}\\.attention`));
      assert.match(text, new RegExp(`block\\.${block}\\.feedforward`));
    }
    assert.match(text, /KV cache per token/);
  });

  it('takes a folder, its config.json and its weights for the same model', async () => {
    const text = await inspect(tiny);
    assert.equal(await inspect(join(tiny, 'config.json')), text);
    assert.equal(await inspect(join(tiny, 'model.safetensors')), text);
  });

  it('opens the sample', async () => {
    const text = await inspect(workspacePath('sample'));
    assert.match(text, /\*\*llama\*\*/);
  });

  it('opens shards through their index', async () => {
    const sharded = await placeFixture('llama-sharded', 'sharded');
    const text = await inspect(join(sharded, 'model.safetensors.index.json'));
    assert.match(text, /block\.0\.attention/);
  });

  it('says what is wrong with a truncated file', async () => {
    const broken = await placeFixture('llama-gqa-untied', 'truncated');
    await truncate(join(broken, 'model.safetensors'), 1000);
    await assert.rejects(espalier.models.summary(broken), /model\.safetensors/);
  });

  it('finds the model folders of the workspace for the menus', async () => {
    await espalier.folders.refresh();
    const paths = espalier.folders.folders.map((folder) => folder.fsPath);
    assert.ok(paths.includes(tiny));
    assert.ok(paths.includes(workspacePath('sample')));
  });

  it('notices a model folder that appears', async () => {
    const added = await placeFixture('qwen3', 'added');
    await until('the new folder', () =>
      espalier.folders.folders.some((folder) => folder.fsPath === added),
    );
  });

  it('tries the devices', async () => {
    const uri = await vscode.commands.executeCommand<vscode.Uri>('espalier.showDevices');
    assert.match((await vscode.workspace.openTextDocument(uri)).getText(), /\| \**cpu\** \| ✓ \|/);
  });
});
