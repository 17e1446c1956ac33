import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import * as vscode from 'vscode';
import { profileRequest, runFor } from '../../extension/services/jobs/model-requests';
import type { Espalier } from '../../extension/host';
import { heatmapPanel } from '../../extension/panels/heatmap-panel';
import { activate, configure, placeFixture, shortSearch, until } from './support';

describe('the heatmap panel', () => {
  let espalier: Espalier;
  let path: string;

  before(async () => {
    espalier = await activate();
    await configure(shortSearch);
    path = await placeFixture('llama-gqa-untied', 'shown');
  });

  const closeAll = async (): Promise<void> => {
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
    await until('closed panels', () => espalier.heatmaps.panels.length === 0);
  };
  const panelTabs = (): vscode.Tab[] =>
    vscode.window.tabGroups.all
      .flatMap(({ tabs }) => tabs)
      .filter(({ input }) => input instanceof vscode.TabInputWebview);

  beforeEach(closeAll);
  after(closeAll);

  it('opens next to the file, and its script runs', async () => {
    const config = await vscode.window.showTextDocument(vscode.Uri.file(`${path}/config.json`));
    await vscode.commands.executeCommand('espalier.openHeatmap', config.document.uri);
    const [panel] = espalier.heatmaps.panels;
    assert.ok(panel);
    await until('the script of the panel', () => panel.ready);
    const [tab] = panelTabs();
    assert.equal(tab?.label, 'Layer Heatmap: shown');
    assert.notEqual(tab.group.viewColumn, config.viewColumn);
  });

  it('is one for each model', async () => {
    for (let i = 0; i < 2; i++) {
      await vscode.commands.executeCommand('espalier.openHeatmap', vscode.Uri.file(path));
    }
    assert.equal(espalier.heatmaps.panels.length, 1);
  });

  it('restores the state of its webview after a reload', async () => {
    const session = await espalier.sessions.open(path);
    session.chooseMark('block.1.attention', 'protected');
    const revived = vscode.window.createWebviewPanel(heatmapPanel.viewType, 'restored', 1);
    await espalier.heatmaps.deserializeWebviewPanel(revived, { model: path });
    const [panel] = espalier.heatmaps.panels;
    assert.ok(panel);
    await until('the script of the panel', () => panel.ready);
    assert.deepEqual(panel.session.snapshot().protectedIds, ['block.1.attention']);
    session.chooseMark('block.1.attention', 'keep');
  });

  it('is restored once if it was opened again in the meantime', async () => {
    await vscode.commands.executeCommand('espalier.openHeatmap', vscode.Uri.file(path));
    const [open] = espalier.heatmaps.panels;
    assert.ok(open);
    const left = vscode.window.createWebviewPanel(heatmapPanel.viewType, 'left', 1);
    await espalier.heatmaps.deserializeWebviewPanel(left, { model: path });
    assert.deepEqual(espalier.heatmaps.panels, [open]);
    await until('a closed tab', () => panelTabs().every(({ label }) => label !== 'left'));
  });

  it('reports a deleted model', async () => {
    const revived = vscode.window.createWebviewPanel(heatmapPanel.viewType, 'restored', 1);
    await espalier.heatmaps.deserializeWebviewPanel(revived, { model: '/no/such/<model>' });
    assert.match(revived.webview.html, /no\/such\/&lt;model&gt;/);
    revived.dispose();
  });

  it('opens a profile document as a heatmap', async () => {
    const session = await espalier.sessions.open(path);
    const request = profileRequest(espalier.settings, session);
    await runFor(espalier.jobs, session, 'profile', request);
    const uri = vscode.Uri.file(session.profilePath);
    await vscode.commands.executeCommand('vscode.openWith', uri, 'espalier.layerProfile');
    const [panel] = espalier.heatmaps.panels;
    assert.ok(panel);
    await until('the script of the panel', () => panel.ready);
    assert.equal(panel.session.profile?.rounds.length, session.profile?.rounds.length);
  });

  it('shows the removals of a plan', async () => {
    const plan = `${path}.plan.json`;
    const remove = ['block.1'];
    await writeFile(
      plan,
      JSON.stringify({
        format: 'espalier.plan',
        version: 1,
        model: { path: 'shown' },
        remove,
      }),
    );
    await vscode.commands.executeCommand('espalier.openHeatmap', vscode.Uri.file(plan));
    const session = await espalier.sessions.open(path);
    assert.deepEqual(session.selection.removed, ['block.1.attention', 'block.1.feedforward']);
    const { configPreview } = session.snapshot();
    assert.ok(configPreview.lines.some(({ change }) => change !== 'same'));
    assert.notEqual(configPreview.loadsWith, '');
  });
});
