import assert from 'node:assert/strict';
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as vscode from 'vscode';
import type { ApplyResult } from '../../extension/core/operations/apply-plan';
import type { Plan } from '../../extension/core/plans/plan';
import type { Espalier } from '../../extension/host';
import { allItems, recommendedItems } from '../../extension/commands/questions/choose-format';
import { explainUnfit } from '../../extension/commands/questions/choose-output';
import type { ModelSession } from '../../extension/services/sessions/model-session';
import { buildRequest } from '../../extension/core/operations/build-request';
import { prune as pruneOperation } from '../../extension/core/operations/prune';
import { selectionPlan } from '../../extension/services/documents/plans';
import { activate, configure, placeFixture, reportText, workspacePath } from './support';

describe('Prune Layers', () => {
  let espalier: Espalier;
  let session: ModelSession;

  before(async () => {
    espalier = await activate();
    session = await espalier.sessions.open(await placeFixture('llama-gqa-untied', 'whole'));
  });

  const prune = (options: object): Thenable<ApplyResult | undefined> =>
    vscode.commands.executeCommand(
      'espalier.pruneLayers',
      vscode.Uri.file(session.model.path),
      options,
    );

  it('writes nothing as long as nothing is marked', async () => {
    const out = workspacePath('nothing');
    assert.equal(await prune({ format: 'safetensors', out }), undefined);
    await assert.rejects(stat(out));
  });

  it('writes a smaller model without the marked sublayers and reports', async () => {
    session.chooseMark('block.1.attention', 'removed');
    session.chooseMark('block.1.feedforward', 'removed');
    const out = workspacePath('whole-pruned');
    await configure({ requirements: ['size<-5%'] });
    const result = await prune({ format: 'safetensors', out });
    await configure({ requirements: undefined });
    assert.ok(result);
    assert.ok(result.parametersAfter < result.parametersBefore);
    assert.ok(result.verification.relativeError <= result.verification.tolerance);
    assert.ok((await readdir(out)).includes('config.json'));
    const pruned = await espalier.models.summary(out);
    assert.equal(pruned.blocks, session.model.blocks - 1);
    const report = reportText(espalier, out);
    assert.match(report, /block\.1\.attention/);
    assert.match(report, /"steps":\[\{"id":"playground"/);
    const { top1Agreement, perplexity } = result.quality ?? {};
    assert.ok(top1Agreement !== undefined && perplexity !== undefined);
    assert.match(report, /"name":"Top-1 agreement"/);
    assert.match(report, /"name":"Perplexity","value":"[+−][^"]*","note":"[\d.]+\s→\s[\d.]+/);
    assert.match(report, /"Requirements","note":"accepted"[^]*\["size<-5%","−[\d.]+\s%"/);
    assert.deepEqual(espalier.jobs.running, []);
    const [job] = espalier.jobs.jobs;
    assert.deepEqual([job?.operation, job?.state, job?.outputs], ['prune', 'done', [out]]);
    assert.match(
      job?.result ?? '',
      /whole-pruned is .* smaller than whole\. Verified: it opens and runs, top-1 agreement with the plan 100.% on 64 tokens\. Perplexity .* → .* Verdict: accepted\./,
    );
    await vscode.commands.executeCommand('espalier.copyJobCommandLine', job);
    const line = await vscode.env.clipboard.readText();
    assert.match(line, /^espalier prune --config \/dev\/stdin <<'REQUEST'\n\{/);
    assert.match(line, /"block\.1\.feedforward"[^]*"out": ".*whole-pruned",\n[^]*\n\}\nREQUEST$/);
  });

  it('shows the drift of the written model from its original, also in the diagram', async () => {
    const out = workspacePath('whole-pruned');
    const explorer = await espalier.explorers.show(out);
    const written = await espalier.sessions.open(out);
    await vscode.commands.executeCommand('espalier.showDrift', vscode.Uri.file(out));
    const { drift } = written.snapshot();
    const ids = written.model.sublayers.map(({ id }) => id);
    assert.deepEqual(
      drift?.sublayers.map(({ sublayer }) => sublayer),
      ids,
    );
    assert.ok(drift.startsAt?.[0]?.token !== undefined);
    // It starts where the original has what was removed.
    assert.match(drift.starts ?? '', /^block\.\d+\.\w+( of the original)?$/);
    assert.equal(explorer.snapshot().drift, drift);
  });

  it('reports the pruned widths of a plan, and that a conversion changes nothing', async () => {
    // A session of its own: applying a plan marks what it removes.
    const model = await placeFixture('llama-gqa-untied', 'plain');
    const widthPruned = workspacePath('plain-widthPruned');
    const plan: Plan = {
      ...{ format: 'espalier.plan', version: 1, model: { path: 'plain' }, remove: [] },
      widths: [{ sublayer: 'block.1.feedforward', remove: '0-1' }],
    };
    const file = workspacePath('widthPruned.plan.json');
    await writeFile(file, JSON.stringify(plan));
    await vscode.commands.executeCommand('espalier.pruneLayers', vscode.Uri.file(file), {
      ...{ format: 'safetensors', layout: 'auto-map', out: widthPruned },
    });
    assert.match(reportText(espalier, widthPruned), /"tags":\["width-pruned"/);
    assert.match(
      reportText(espalier, widthPruned),
      /Verified: it opens and runs, .* Here, \\"plan\\" is the original with the same changes, in memory\./,
    );
    assert.match(
      reportText(espalier, widthPruned),
      /"Width pruned","list":\["block\.1\.feedforward: \d+ channels left"/,
    );
    const converted = workspacePath('plain-onnx');
    await vscode.commands.executeCommand('espalier.convertModel', vscode.Uri.file(model), {
      ...{ format: 'onnx', out: converted },
    });
    assert.match(reportText(espalier, converted), /"tags":\["converted"/);
    assert.match(
      reportText(espalier, converted),
      /Verified: it opens and runs, .* Here, \\"plan\\" is the original\./,
    );
  });

  it('lists formats and layouts that can express a selection, and the reason for the others', async () => {
    const changes = { remove: ['block.0.feedforward'] };
    const answers = await espalier.models.outputs(session.model.path, changes);
    const listLayouts = (rows: ReturnType<typeof allItems>) =>
      rows.map(({ answer }) => answer?.layout ?? answer?.format);
    assert.deepEqual(listLayouts(recommendedItems(answers)), ['auto-map', 'onnx']);
    const items = allItems(answers);
    const border = items.findIndex(({ kind }) => kind === vscode.QuickPickItemKind.Separator);
    assert.deepEqual(listLayouts(items.slice(0, border)), ['auto-map', 'onnx', 'zeroed']);
    const reasons = items.slice(border + 1).map(({ label, detail }) => `${label}: ${detail}`);
    assert.match(reasons.join('\n'), /\(safetensors\): .*parts of blocks \(1 sublayer\)/);
    assert.match(reasons.join('\n'), /GGUF: .*block\.0\.feedforward would be removed alone/);
    assert.doesNotMatch(reasons.join('\n'), /--|auto-map/);
  });

  it('writes a layout on request', async () => {
    const out = workspacePath('whole-zeroed');
    const result = await prune({ format: 'safetensors', layout: 'zeroed', out });
    assert.equal(result?.layout, 'zeroed');
    assert.equal(result.bytesAfter, result.bytesBefore);
    const refused = workspacePath('whole-refused');
    assert.equal(
      await prune({ format: 'safetensors', layout: 'auto-map', out: refused }),
      undefined,
    );
    await assert.rejects(stat(refused));
  });

  it('writes ONNX on request', async () => {
    const out = workspacePath('whole-pruned-onnx');
    const result = await prune({ format: 'onnx', out });
    assert.equal(result?.format, 'onnx');
    assert.ok((await readdir(out)).some((name) => name.endsWith('.onnx')));
  });

  it('replaces an existing folder only if asked, and never files of others', async () => {
    const out = workspacePath('whole-pruned');
    const precious = join(out, 'precious.txt');
    await writeFile(precious, 'keep');
    const request = buildRequest(pruneOperation, {
      model: session.model.path,
      plan: selectionPlan(session, out),
      out,
      format: 'safetensors',
    });
    await assert.rejects(espalier.worker.request('prune', request), /whole-pruned.*exists/);
    const overwrite = { ...request, overwrite: true };
    await assert.rejects(espalier.worker.request('prune', overwrite), /precious\.txt/);
    assert.equal(await readFile(precious, 'utf8'), 'keep');
    await rm(precious);
    assert.ok(await prune({ format: 'safetensors', out, overwrite: true }));
  });

  it('saves the selection as a plan next to the model', async () => {
    await vscode.commands.executeCommand('espalier.savePlan', session, { overwrite: true });
    const path = `${session.model.path}.plan.json`;
    const plan = JSON.parse(await readFile(path, 'utf8')) as Plan;
    assert.deepEqual(plan.remove, ['block.1.attention', 'block.1.feedforward']);
    assert.equal(plan.model.path, 'whole');
    assert.equal(plan.model.fingerprint, session.model.fingerprint);
    assert.equal(vscode.window.activeTextEditor?.document.uri.fsPath, path);
  });

  it('refuses folders that would harm the original', () => {
    const { path } = session.model;
    assert.ok(explainUnfit(path, path));
    assert.ok(explainUnfit(join(path, 'inside'), path));
    assert.ok(explainUnfit(workspacePath(), path));
    assert.ok(explainUnfit(' ', path));
    assert.ok(explainUnfit('small.gguf', path));
    assert.equal(explainUnfit('whole-2', path), undefined);
    assert.equal(explainUnfit('/elsewhere/..b', path), undefined);
  });
});
