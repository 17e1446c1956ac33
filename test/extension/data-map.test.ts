import assert from 'node:assert/strict';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as vscode from 'vscode';
import type { DietResult } from '../../extension/core/datadiet/subsets/diet-experiment';
import { readScores } from '../../extension/core/datadiet/scores/score-files';
import type { ExportedData } from '../../extension/core/operations/export-data';
import type { DataScoring } from '../../extension/core/operations/score-data';
import type { Espalier } from '../../extension/host';
import { dataMapPanel } from '../../extension/panels/data-map-panel';
import { explainDataBlocked } from '../../extension/services/trust';
import {
  activate,
  cancelRunning,
  placeFolder,
  resumable,
  running,
  until,
  workspacePath,
} from './support';

describe('the data map', () => {
  let espalier: Espalier;
  let data: string;
  let scores: string;
  const quick = {
    model: 'mlp',
    score: 'el2n',
    runs: 2,
    epoch: 4,
    batch: 8,
    overwrite: true,
  } as const;

  before(async () => {
    espalier = await activate();
    data = await placeFolder(['datasets', 'strokes'], 'strokes');
    scores = workspacePath('strokes.scores.json');
    await rm(scores, { force: true });
    await rm(workspacePath('strokes-subset'), { recursive: true, force: true });
  });
  after(async () => {
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
  });

  it('is shown after scoring a dataset by command', async () => {
    const result = await vscode.commands.executeCommand<DataScoring>(
      'espalier.scoreData',
      vscode.Uri.file(data),
      quick,
    );
    assert.equal(result.examples, 40);
    const document = await readScores(scores);
    assert.deepEqual(document.classNames, ['horizontal', 'vertical']);
    assert.equal(document.scoring?.runs, 2);
    assert.deepEqual(resumable(espalier, 'score-data'), []);
    const [panel] = espalier.dataMaps.panels;
    assert.equal(panel?.session.source.scores, scores);
    await until('the script of the panel', () => panel.ready);
  });

  it('shows pictures, keeps marks, and writes a subset without them', async () => {
    const session = await espalier.dataMaps.show({ scores });
    // The panel keeps asking its own questions meanwhile.
    const page = await espalier.dataReader.request('examples', {
      scores,
      query: { order: 'hardest', page: 0, pageSize: 4 },
    });
    assert.equal(page.total, 40);
    assert.ok(page.items.every(({ content }) => content?.kind === 'picture'));
    session.mark([18, 19], true);
    const { leaveOut } = session.choice;
    assert.deepEqual(leaveOut, [18, 19]);
    const out = workspacePath('strokes-subset');
    const request = { operation: 'export-data', given: { scores, data, keep: 0.25, leaveOut } };
    const written = await vscode.commands.executeCommand<ExportedData>(
      'espalier.exportSubset',
      session,
      { request, out },
    );
    assert.equal(written.examples, 10);
    const names = await readdir(join(out, 'horizontal'));
    assert.equal(names.length, 5);
    assert.ok(!names.includes('18.png') && !names.includes('19.png'));
  });

  it('restores its marks after a reload', async () => {
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
    await until('closed panels', () => espalier.dataMaps.panels.length === 0);
    const revived = vscode.window.createWebviewPanel(dataMapPanel.viewType, 'restored', 1);
    await espalier.dataMaps.deserializeWebviewPanel(revived, { scores });
    const [panel] = espalier.dataMaps.panels;
    assert.deepEqual(panel?.session.marks, [18, 19]);
    revived.dispose();
    const lost = vscode.window.createWebviewPanel(dataMapPanel.viewType, 'restored', 1);
    await espalier.dataMaps.deserializeWebviewPanel(lost, {});
    assert.match(lost.webview.html, /no saved state/);
    lost.dispose();
  });

  it('opens scores of another tool with the given dataset', async () => {
    const foreign = workspacePath('deepcore.json');
    const indices = Array.from({ length: 40 }, (_, i) => i);
    await writeFile(foreign, JSON.stringify({ indices, scores: indices }));
    await vscode.commands.executeCommand('espalier.openDataMap', vscode.Uri.file(foreign), {
      data,
    });
    const { session } =
      espalier.dataMaps.panels.find((panel) => panel.session.source.scores === foreign) ?? {};
    assert.deepEqual(session?.data, { path: data, warnings: [] });
    assert.equal(session.map?.overview.classes.length, 2);
  });

  it('resumes a canceled scoring', async () => {
    const out = workspacePath('long.scores.json');
    const long = { ...quick, epoch: 3000, out };
    const scoring = vscode.commands.executeCommand(
      'espalier.scoreData',
      vscode.Uri.file(data),
      long,
    );
    await until('progress', () => (running(espalier)?.progress?.done ?? 0) > 20);
    cancelRunning(espalier);
    assert.equal(await scoring, undefined);
    const [job] = resumable(espalier, 'score-data');
    assert.equal(job?.request.out, out);
    const resumed = vscode.commands.executeCommand('espalier.resumeJob', job.id);
    // Saved trainings are not repeated, so the first reported step is a later one.
    const first = await until('progress', () => running(espalier)?.progress);
    // The following suites need the worker, even if this one fails.
    cancelRunning(espalier);
    await resumed;
    await espalier.jobs.discard(job.id);
    assert.ok(first.done > 5, `${first.done}`);
  });

  it('resumes a subset comparison after its worker was killed, with the same result', async () => {
    const session = await espalier.dataMaps.show({ scores });
    const compare = async (name: string) => {
      const request = {
        ...{ data, model: 'mlp', score: ['el2n@4'], runs: 1, batch: 8, epochs: 40 },
        ...{ keep: [0.5], policy: ['max'], out: workspacePath(name) },
      };
      return vscode.commands.executeCommand<DietResult | undefined>(
        'espalier.compareSubsets',
        session,
        { request },
      );
    };
    assert.ok(await compare('whole.datadiet.json'));
    const interrupted = compare('killed.datadiet.json');
    await until('progress', () => (running(espalier)?.progress?.done ?? 0) > 20);
    const { pid } = espalier.worker;
    assert.ok(pid !== undefined);
    process.kill(pid, 'SIGKILL');
    assert.equal(await interrupted, undefined);
    const [job] = resumable(espalier, 'data-diet');
    assert.equal(job?.request.out, workspacePath('killed.datadiet.json'));
    await vscode.commands.executeCommand('espalier.resumeJob', job.id);
    assert.deepEqual(resumable(espalier, 'data-diet'), []);
    const read = async (name: string): Promise<unknown> => {
      const text = await readFile(workspacePath(name), 'utf8');
      const { rows } = JSON.parse(text) as { readonly rows: readonly { seconds?: number }[] };
      return rows.map((row) => ({ ...row, seconds: undefined }));
    };
    assert.deepEqual(await read('killed.datadiet.json'), await read('whole.datadiet.json'));
  });

  it('reports the error, and asks for trust', async () => {
    const none = workspacePath('none.scores.json');
    const session = await espalier.dataMaps.session({ scores: none });
    assert.match(session.snapshot().failure ?? '', /none\.scores\.json: There is no such file/);
    assert.match(
      explainDataBlocked({ trusted: false, scheme: 'file' })?.reason ?? '',
      /not trusted/,
    );
    assert.match(
      explainDataBlocked({ trusted: true, scheme: 'vscode-vfs' })?.reason ?? '',
      /virtual/,
    );
    const virtual = vscode.Uri.parse('vscode-vfs://github/owner/a.scores.json');
    assert.equal(await vscode.commands.executeCommand('espalier.openDataMap', virtual), undefined);
  });
});
