import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import * as vscode from 'vscode';
import type { RepairResult } from '../../extension/core/pipelines/compression/repair-model';
import type { CompressResult } from '../../extension/core/pipelines/compression/compress-model';
import type { Plan } from '../../extension/core/plans/plan';
import { workFolder } from '../../extension/core/jobs/work-folder';
import type { Espalier } from '../../extension/host';
import type {
  BudgetChoice,
  BudgetSurvey,
  MadePlan,
  ScoredFront,
} from '../../extension/protocol/compression';
import type { CompressionSession } from '../../extension/services/sessions/compression-session';
import { hasWork } from '../../extension/services/jobs/saved-work';
import { answering } from './answers';
import {
  activate,
  cancelRunning,
  configure,
  placeFixture,
  resumable,
  running as active,
  until,
  workspacePath,
  reportText,
} from './support';

describe('compression', () => {
  let espalier: Espalier;
  let session: CompressionSession;
  let model: string;
  const run = async <T>(command: string, ...args: readonly unknown[]): Promise<T> =>
    vscode.commands.executeCommand<T>(`espalier.${command}`, ...args);
  const table = workspacePath('dense.sensitivity.json');

  before(async () => {
    espalier = await activate();
    await configure({ 'calibration.sequences': 8, 'calibration.length': 32 });
    model = await placeFixture('llama-gqa-untied', 'dense');
    await rm(table, { force: true });
    session = await espalier.compressionSessions.open(model);
  });
  after(async () => {
    await configure({ 'calibration.sequences': undefined, 'calibration.length': undefined });
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
  });

  it('is measured by command, while its panel shows it', async () => {
    await run('profileSensitivity', vscode.Uri.file(model), {
      compressions: [{ method: 'int8' }, { method: 'lowrank' }],
      embeddingAndHead: ['embedding', 'head'],
      overwrite: true,
    });
    const { layers, embeddingAndHead } = await espalier.documents.read('sensitivity', table);
    assert.ok(layers.length > 0);
    assert.ok(layers.every(({ entries }) => entries.some(({ method }) => method === 'int8')));
    assert.deepEqual(session.table?.layers, layers);
    assert.deepEqual(
      embeddingAndHead?.map(({ place, entries }) => [place, entries.length]),
      [
        ['embedding', 2],
        ['head', 2],
      ],
    );
    assert.deepEqual(session.table.embeddingAndHead, embeddingAndHead);
    assert.deepEqual(resumable(espalier, 'sensitivity'), []);
    const [panel] = espalier.compressions.panels;
    assert.equal(panel?.session, session);
    await until('the script of the panel', () => panel.ready);
  });

  it('keeps finished work when canceled, and resumes', async () => {
    const running = run('profileSensitivity', session, {
      compressions: [{ method: 'lowrank' }, { method: 'mpo' }, { method: 'int4' }],
      overwrite: true,
    });
    await until('the first measurement', () => {
      const job = active(espalier);
      // Times of the model are saved before.
      return job !== undefined && hasWork(job) && (job.counted?.done ?? 0) > 0;
    });
    cancelRunning(espalier);
    await running;
    assert.ok(session.job.kind === 'stopped');
    assert.equal(session.job.reason, 'cancelled');
    assert.match(session.job.saved ?? '', /^Saved: \d+ of \d+ measurements\.$/);
    await run('resumeJob', session.job.id);
    assert.equal(session.job.kind, 'idle');
    assert.deepEqual(resumable(espalier, 'sensitivity'), []);
    const { layers } = await espalier.documents.read('sensitivity', table);
    assert.ok(layers.every(({ entries }) => entries.some(({ method }) => method === 'int4')));
  });

  it('is planned under a budget and saved as a plan', async () => {
    const plan = await run<MadePlan>('planCompression', session, {
      limits: [{ unit: 'bytes', ratio: 0.8 }],
      schemes: [{ method: 'lowrank' }, { method: 'int4' }],
      removes: false,
      embeddingAndHead: false,
    });
    assert.ok(plan.result.cost <= 0.8 * plan.result.costBefore);
    assert.deepEqual(session.plan, plan);
    const saved = await run<vscode.Uri>('saveCompressionPlan', session, { overwrite: true });
    const document = JSON.parse(await readFile(saved.fsPath, 'utf8')) as Plan;
    assert.deepEqual(document.compress, plan.result.compress);
    assert.equal(document.model.path, 'dense');
  });

  it('scores plans of all sizes on a task', async () => {
    const task = workspacePath('few.jsonl');
    const rows = [' dog', ' house'].map((right) => ({
      ...{ context: 'The', choices: [right, ' zzz'], answer: 0 },
    }));
    await writeFile(task, rows.map((row) => JSON.stringify(row)).join('\n'));
    const choice = {
      ...{ limits: [{ unit: 'bytes', ratio: 1 }], context: 4096, schemes: [{ method: 'int4' }] },
      ...{ removes: false, prunesWidths: false, embeddingAndHead: false },
    };
    const scores = await run<ScoredFront>('scorePlans', session, { choice, task });
    const survey = await session.survey(choice as BudgetChoice);
    // The panel tells plans by both.
    const readPlans = (points: BudgetSurvey['points'] | ScoredFront['points']) =>
      points.map(({ cost, sumOfDistances }) => [cost, sumOfDistances]);
    assert.deepEqual(readPlans(scores.points), readPlans(survey.points));
    assert.deepEqual(session.snapshot().scores, scores);
    assert.equal(scores.original.examples, rows.length);
  });

  it('writes a smaller model', async () => {
    const out = workspacePath('compressed');
    const options = { format: 'safetensors', layout: 'auto-map', out, overwrite: true };
    const planned = await run<CompressResult>('compressModel', session, options);
    assert.equal(planned.layers.length, session.plan?.result.compress.length);
    assert.ok(planned.bytesAfter < planned.bytesBefore);
    const all = await run<CompressResult>('compressModel', vscode.Uri.file(model), {
      ...options,
      compression: { method: 'lowrank', ratio: 0.4 },
      skip: ['down'],
    });
    assert.ok(
      all.layers.every(({ method, tensor }) => method === 'lowrank' && !tensor.includes('down')),
    );
  });

  it('measures types of a GGUF file, and writes those of a plan by an importance matrix', async () => {
    const typed = await espalier.compressionSessions.open(
      await placeFixture('llama-gqa-untied', 'typed'),
    );
    await answering(['Types of a GGUF file', 'Also embedding and head'], () =>
      run('profileSensitivity', vscode.Uri.file(typed.model.path), { blocks: [0] }),
    );
    const { layers = [], embeddingAndHead = [] } = typed.table ?? {};
    assert.ok(layers.length > 0);
    assert.deepEqual(
      embeddingAndHead.map(({ place }) => place),
      ['embedding', 'head'],
    );
    const entries = [...layers, ...embeddingAndHead].flatMap((one) => one.entries);
    assert.ok(entries.every(({ method }) => method === 'gguf'));
    // So little that a type is needed whose rounding is weighted.
    const { result } = await run<MadePlan>('planCompression', typed, {
      ...{ limits: [{ unit: 'bytes', ratio: 0.815 }], schemes: [{ method: 'gguf' }] },
      ...{ removes: false, prunesWidths: false, embeddingAndHead: true },
    });
    assert.equal(result.byImportance, true);
    const out = workspacePath('typed-gguf');
    const { asked, result: written } = await answering(['Measure importance first'], () =>
      run<CompressResult>('compressModel', typed, { out }),
    );
    const { offered, descriptions } = asked[0] ?? {};
    assert.ok(written.bytesAfter < written.bytesBefore);
    assert.ok(existsSync(workspacePath('typed.imatrix.gguf')));
    const [job] = espalier.jobs.jobs;
    assert.ok(job?.operation === 'compress');
    assert.equal(job.request.imatrix, workspacePath('typed.imatrix.gguf'));
    assert.equal(job.request.format, 'gguf');
    assert.deepEqual(offered, [
      'Measure importance first',
      'Choose an importance matrix…',
      'No importance matrix',
    ]);
    const measured = 'same as in the measured plan';
    assert.deepEqual(descriptions, [measured, measured, '']);
  });

  /** Begins to compress, and cancels when a layer is done. */
  const cancelCompression = async (out: string): Promise<void> => {
    const running = run('compressModel', vscode.Uri.file(model), {
      ...{ format: 'safetensors', layout: 'auto-map', out, overwrite: true },
      ...{ compression: { method: 'lowrank', ratio: 0.5 }, skip: [] },
    });
    await until('the first layer', () => {
      const job = active(espalier);
      return job?.progress !== undefined && hasWork(job);
    });
    cancelRunning(espalier);
    assert.equal(await running, undefined);
  };

  it('resumes a canceled compression', async () => {
    const out = workspacePath('stopped');
    await cancelCompression(out);
    assert.equal(existsSync(out), false);
    assert.ok(session.job.kind === 'stopped' && session.job.name === 'Compressing');
    assert.ok(session.job.saved);
    const result = await run<CompressResult>('resumeJob', session.job.id);
    assert.equal(result.path, out);
    assert.ok(result.layers.every(({ method }) => method === 'lowrank'));
    assert.equal(session.job.kind, 'idle');
    assert.deepEqual(resumable(espalier, 'compress'), []);
  });

  it('lists two interrupted compressions of a model, and discards one with its saved progress', async () => {
    const outs = [workspacePath('forgotten'), workspacePath('kept')];
    for (const out of outs) {
      await cancelCompression(out);
    }
    const [kept, forgotten] = resumable(espalier, 'compress');
    assert.deepEqual([forgotten?.request.out, kept?.request.out], outs);
    assert.ok(forgotten && kept);
    const [folder, beside] = outs.map((out) => workFolder(out, 'compress'));
    assert.ok(folder && beside && existsSync(folder) && existsSync(beside));
    await run('discardJob', forgotten, { confirmed: true });
    assert.equal(existsSync(folder), false);
    assert.ok(existsSync(beside));
    assert.ok(session.job.kind === 'stopped' && session.job.id === kept.id);
    await run('discardJob', kept.id, { confirmed: true });
    assert.equal(session.job.kind, 'idle');
    assert.deepEqual(resumable(espalier, 'compress'), []);
  });

  it('offers no model as its own teacher', async () => {
    const { asked } = await answering([undefined], () =>
      run('repairModel', vscode.Uri.file(model)),
    );
    const { offered = [] } = asked[0] ?? {};
    assert.ok(offered.includes('$(folder) compressed'), offered.join());
    assert.ok(!offered.includes(`$(folder) ${session.model.name}`));
  });

  it('finds the teacher of a compressed model, repairs it, and resumes after a cancel', async () => {
    const student = vscode.Uri.file(workspacePath('compressed'));
    const out = workspacePath('repaired');
    const running = run('repairModel', student, {
      ...{ text: 'bundled', effort: 'standard', out, overwrite: true },
    });
    await until('the first slice', () => {
      const job = active(espalier);
      return job !== undefined && hasWork(job);
    });
    cancelRunning(espalier);
    assert.equal(await running, undefined);
    const [job] = resumable(espalier, 'repair');
    assert.equal(job?.model, student.fsPath);
    assert.equal(job.request.out, out);
    assert.equal(job.request.teacher, model);
    const result = await run<RepairResult>('resumeJob', job.id);
    assert.ok(result.lossAfter < result.lossBefore);
    assert.match(reportText(espalier, out), /block\.1\.feedforward/);
    assert.deepEqual(resumable(espalier, 'repair'), []);
  });
});
