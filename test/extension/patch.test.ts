import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import * as vscode from 'vscode';
import type { PatchResult } from '../../extension/core/pipelines/patching/patch-model';
import type { PruneResult } from '../../extension/core/pipelines/prune-result';
import type { Plan } from '../../extension/core/plans/plan';
import { workFolder } from '../../extension/core/jobs/work-folder';
import { patchKinds } from '../../extension/core/symbolic/patch/contestants';
import type { Espalier } from '../../extension/host';
import { inEnglish } from '../../extension/core/message';
import { patchKindName } from '../../extension/core/operations/patch-verdict';
import { patchedPage } from '../../extension/services/reports/pages/patched-page';
import { selectionPlan } from '../../extension/services/documents/plans';
import type { ModelSession } from '../../extension/services/sessions/model-session';
import {
  activate,
  configure,
  placeFixture,
  reportText,
  resumable,
  until,
  workspacePath,
} from './support';

const sublayer = 'block.1.feedforward';

describe('Patch Removed Layer', () => {
  let espalier: Espalier;
  let session: ModelSession;
  const run = async <T>(command: string, argument: unknown, options?: object): Promise<T> =>
    vscode.commands.executeCommand<T>(`espalier.${command}`, argument, options);
  const readPlan = async (path: string): Promise<Plan> =>
    JSON.parse(await readFile(path, 'utf8')) as Plan;
  const out = workspacePath('patchable-patched');
  const plan = workspacePath('mine.plan.json');
  const mine: Plan = {
    ...{ format: 'espalier.plan', version: 1, model: { path: 'patchable' } },
    ...{ remove: ['block.0.attention'], note: 'by hand' },
  };
  const options = {
    ...{ sublayer, text: 'bundled', graphs: 1, anyway: true, format: 'safetensors' },
    ...{ out, overwrite: true },
  };
  let result: PatchResult;

  before(async () => {
    espalier = await activate();
    await configure({ device: 'cpu', 'calibration.length': 16 });
    session = await espalier.sessions.open(await placeFixture('llama-gqa-untied', 'patchable'));
  });
  after(async () => {
    await configure({ 'calibration.length': undefined });
  });

  it('is cancelled, remembered and resumed to the end', async () => {
    await writeFile(plan, JSON.stringify(mine));
    const running = run<PatchResult | undefined>('patchLayer', vscode.Uri.file(plan), options);
    const journal = join(workFolder(out, 'patch'), 'journal.jsonl');
    const hasFit = (): boolean =>
      existsSync(journal) && readFileSync(journal, 'utf8').trim().includes('\n');
    await until('the first fit', hasFit);
    await run('cancelJob', undefined);
    assert.equal(await running, undefined);
    await assert.rejects(stat(out));
    assert.ok(session.job.kind === 'stopped' && session.job.saved !== undefined);
    const jobs = resumable(espalier, 'patch');
    assert.deepEqual(
      jobs.map(({ name, state }) => [name, state]),
      [['patchable', 'cancelled']],
    );

    result = await run<PatchResult>('resumeJob', jobs[0]?.id);
    assert.deepEqual(
      result.standings.map(({ kind }) => kind),
      [...patchKinds],
    );
    assert.deepEqual(resumable(espalier, 'patch'), []);
    assert.equal(session.job.kind, 'idle');
    const { patches } = await espalier.models.summary(out);
    assert.equal(patches?.[sublayer]?.program, result.program);
    const report = reportText(espalier, out);
    for (const kind of patchKinds) {
      assert.ok(report.includes(inEnglish(patchKindName(kind))), kind);
    }
  });

  it('is added to the plan that it was called on, without other changes', async () => {
    const { patch, ...rest } = await readPlan(plan);
    assert.deepEqual(rest, { ...mine, remove: ['block.0.attention', sublayer] });
    assert.deepEqual(
      patch?.map((one) => [one.sublayer, one.program]),
      [[sublayer, result.program]],
    );
    const file = patch[0]?.file ?? '';
    assert.equal(file, basename(file));
    assert.ok(existsSync(workspacePath(file)));
  });

  it('is shown in the heatmap, which is pruned with it', async () => {
    const planned = (await readPlan(plan)).patch;
    const shown = session.snapshot();
    assert.deepEqual(shown.removed, ['block.0.attention', sublayer]);
    const patch = shown.patches[sublayer];
    assert.equal(patch?.place, 'plan');
    assert.equal(patch.program, result.program);
    assert.ok((patch.graph?.size ?? 0) > 1);
    assert.match(JSON.stringify(shown.configPreview.lines), /patches/);
    assert.deepEqual(selectionPlan(session, plan).patch, planned);

    const smaller = workspacePath('pruned-with-patch');
    const pruned = await run<PruneResult>('pruneLayers', session, {
      ...{ format: 'safetensors', layout: 'auto-map', out: smaller, overwrite: true },
    });
    assert.deepEqual(pruned.patched, [sublayer]);
    assert.deepEqual(pruned.removed, ['block.0.attention']);
    const opened = await espalier.sessions.open(smaller);
    assert.equal(opened.snapshot().patches[sublayer]?.place, 'model');
    session.chooseMark(sublayer, 'keep');
    assert.deepEqual(selectionPlan(session, plan).patch, undefined);
  });

  it('is reported as rejected if something simpler is as good', () => {
    const [graph, ...others] = result.standings;
    assert.ok(graph);
    const standings = [{ ...graph, loss: 0.5 }, ...others.map((one) => ({ ...one, loss: 0.6 }))];
    const pageText = (changes: Partial<PatchResult>): string =>
      JSON.stringify(
        patchedPage({ name: 'm', model: '/m' }, { ...result, ...changes, written: null }),
      );
    const accepted = pageText({ standings, accepted: true });
    assert.match(accepted, /is accepted: its distance of 0\.500/);
    const better = standings.map((one) => (one.kind === 'mlp' ? { ...one, loss: 0.4 } : one));
    const refused = pageText({ standings: better, accepted: false });
    assert.match(
      refused,
      /not accepted: .* \(Bottleneck MLP: distance 0\.400, the patch: 0\.500\)/,
    );
    assert.match(refused, /Nothing was written/);
  });

  it('does nothing if there is nothing to resume', async () => {
    assert.deepEqual(espalier.jobs.resumable, []);
    assert.equal(await run('resumeJob', undefined), undefined);
  });
});
