import assert from 'node:assert/strict';
import { cp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as vscode from 'vscode';
import type { ModelDescription } from '../../extension/core/inspect/model-description';
import type { Espalier } from '../../extension/host';
import type { ExplorerSession } from '../../extension/services/sessions/explorer-session';
import { activate, placeFixture, until, workspacePath } from './support';

describe('Inspect Model', () => {
  let espalier: Espalier;
  let tiny: string;

  before(async () => {
    espalier = await activate();
    tiny = await placeFixture('llama-gqa-untied', 'inspected');
  });

  const inspect = async (path: string): Promise<ModelDescription> => {
    const session = await vscode.commands.executeCommand<ExplorerSession | undefined>(
      'espalier.inspectModel',
      vscode.Uri.file(path),
    );
    assert.ok(session?.model);
    return session.model;
  };

  it('shows every sublayer of a model with its cost', async () => {
    const config = JSON.parse(await readFile(join(tiny, 'config.json'), 'utf8')) as {
      num_hidden_layers: number;
    };
    const { blocks, totals } = await inspect(tiny);
    assert.equal(blocks.length, config.num_hidden_layers);
    for (const { sublayers } of blocks) {
      assert.deepEqual(
        sublayers.map(({ kind }) => kind),
        ['attention', 'feedforward'],
      );
    }
    assert.ok((totals.kvBytesPerToken ?? 0) > 0);
    assert.ok(espalier.explorers.panels.some(({ session }) => session.path === tiny));
  });

  it('opens a model of an unknown type after Try as Known Family', async () => {
    const path = workspacePath('unknown');
    await cp(workspacePath('sample'), path, { recursive: true });
    const file = join(path, 'config.json');
    const config = await readFile(file, 'utf8');
    await writeFile(file, config.replace('"model_type": "llama"', '"model_type": "newer"'));
    await assert.rejects(espalier.models.summary(path), /newer/);
    // The notification at its end waits for an answer.
    void vscode.commands.executeCommand('espalier.tryFamily', vscode.Uri.file(path));
    await until('the end of the job', () =>
      espalier.jobs.jobs.some(
        ({ operation, state }) => operation === 'try-family' && state === 'done',
      ),
    );
    assert.equal((await espalier.models.summary(path)).blocks, 12);
    await rm(path, { recursive: true });
  });

  it('opens the same model for a folder, its config.json and its weights', async () => {
    const model = await inspect(tiny);
    assert.deepEqual(await inspect(join(tiny, 'config.json')), model);
    assert.deepEqual(await inspect(join(tiny, 'model.safetensors')), model);
  });

  it('opens a weight file in its own editor', async () => {
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
    const path = workspacePath('sample', 'model.safetensors');
    await vscode.commands.executeCommand('vscode.open', vscode.Uri.file(path));
    const panel = await until('the explorer', () =>
      espalier.explorers.panels.find(({ session }) => session.path === path),
    );
    await until('the structure', () => panel.session.model);
    assert.equal(panel.session.model?.family, 'llama');
    const input = vscode.window.tabGroups.activeTabGroup.activeTab?.input;
    assert.ok(input instanceof vscode.TabInputCustom);
    assert.equal(input.viewType, 'espalier.modelExplorer');
  });

  it('reads the numbers of a tensor, and compares with another model', async () => {
    await inspect(tiny);
    const panel = espalier.explorers.panels.find(({ session }) => session.path === tiny);
    assert.ok(panel);
    await panel.session.measure('model.norm.weight');
    const { statistics } = panel.session.snapshot();
    assert.equal(statistics['model.norm.weight']?.kind, 'known');
    await panel.session.compare(workspacePath('sample'), false);
    assert.equal(panel.session.snapshot().comparison?.kind, 'known');
  });

  it('opens shards through their index', async () => {
    const sharded = await placeFixture('llama-sharded', 'sharded');
    const { files } = await inspect(join(sharded, 'model.safetensors.index.json'));
    assert.equal(files.length, 3);
  });

  it('reports a truncated file', async () => {
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
