import assert from 'node:assert/strict';
import { copyFile, rm, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import * as vscode from 'vscode';
import type { Espalier } from '../../extension/host';
import type { ModelEntry } from '../../extension/views/model-entries';
import { activate, placeFile, placeFixture, until } from './support';

describe('the view of models', () => {
  let espalier: Espalier;
  let path: string;
  let model: vscode.Uri;

  before(async () => {
    espalier = await activate();
    path = await placeFixture('llama-gqa-untied', 'in-view');
    const found = await until('the model', () =>
      espalier.folders.folders.find(({ fsPath }) => fsPath === path),
    );
    model = found;
  });

  after(async () => {
    await rm(path, { recursive: true });
  });

  const below = async (parent: vscode.Uri | ModelEntry): Promise<ModelEntry[]> =>
    (await espalier.modelsView.getChildren(parent)).map((entry) => {
      assert.ok(!(entry instanceof vscode.Uri));
      return entry;
    });
  const labelled = (entries: readonly ModelEntry[], label: string): ModelEntry => {
    const found = entries.find((entry) => entry.label === label);
    assert.ok(found, label);
    return found;
  };

  it('opens a model down to its tensors', async () => {
    const top = await below(model);
    assert.deepEqual(
      top.map(({ label }) => label),
      ['Embedding', 'Block 0', 'Block 1', 'Block 2', 'Block 3', 'Final norm', 'LM head'],
    );
    const block = labelled(top, 'Block 1');
    const attention = labelled(await below(block), 'Attention');
    assert.equal(attention.name, 'block.1.attention');
    const tensor = labelled(await below(attention), 'self_attn.k_proj.weight');
    assert.equal(tensor.name, 'model.layers.1.self_attn.k_proj.weight');
    assert.equal(tensor.description, 'F32 · 24 × 48 · 4.50 KiB');
    const item = await espalier.modelsView.getTreeItem(tensor);
    assert.equal(item.contextValue, 'tensor');
    assert.equal(item.collapsibleState, vscode.TreeItemCollapsibleState.None);
  });

  it('shows a row in the explorer and copies its name', async () => {
    const attention = labelled(await below(labelled(await below(model), 'Block 2')), 'Attention');
    await vscode.commands.executeCommand('espalier.showInExplorer', attention);
    await until('the explorer', () =>
      espalier.explorers.panels.some(({ session }) => session.model?.path === path),
    );
    await vscode.commands.executeCommand('espalier.copyName', attention);
    assert.equal(await vscode.env.clipboard.readText(), 'block.2.attention');
  });

  it('reports why a model cannot be described', async () => {
    const damaged = vscode.Uri.file(join(path, 'nothing-here'));
    const [entry, ...others] = await below(damaged);
    assert.ok(entry);
    assert.equal(others.length, 0);
    assert.equal(entry.kind, 'failure');
    assert.match(entry.description, /no such file/);
  });

  it('rereads a changed file', async () => {
    const file = await placeFile(['gguf', 'llama.gguf'], 'changes.gguf');
    const uri = await until('the file', () =>
      espalier.folders.folders.find(({ fsPath }) => fsPath === file),
    );
    assert.equal((await below(uri)).filter(({ kind }) => kind === 'block').length, 2);
    let changed = false;
    const listening = espalier.modelsView.onDidChangeTreeData((element) => {
      changed ||= element?.toString() === uri.toString();
    });
    const other = await placeFile(['gguf', 'gemma3.gguf'], 'other.gguf');
    await copyFile(other, file);
    await utimes(file, new Date(), new Date());
    await until('the change', () => changed);
    assert.equal((await below(uri)).filter(({ kind }) => kind === 'block').length, 6);
    listening.dispose();
    await Promise.all([rm(file), rm(other)]);
  });
});
