import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import * as vscode from 'vscode';
import type { RepairResult } from '../../extension/core/export/compression/repair-model';
import type { CompressResult } from '../../extension/core/export/compression/compress-model';
import type { Plan } from '../../extension/core/export/plan';
import { workFolder } from '../../extension/core/jobs/work-folder';
import type { Espalier } from '../../extension/extension';
import type { MadePlan } from '../../extension/protocol/compression';
import type { RepairModelRequest } from '../../extension/protocol/worker';
import type { CompressionSession } from '../../extension/services/compression-session';
import { readSensitivity } from '../../extension/services/documents';
import { InterruptedJobs } from '../../extension/services/interrupted-jobs';
import { WorkerRequestError } from '../../extension/services/worker-errors';
import { activate, configure, placeFixture, until, workspacePath } from './support';

/** A workspace's memory. */
function memoryOf(): Pick<vscode.Memento, 'get' | 'update'> {
  const stored = new Map<string, unknown>();
  return {
    get: <T>(key: string, fallback?: T) => (stored.get(key) ?? fallback) as T,
    update: async (key: string, value: unknown) => Promise.resolve(void stored.set(key, value)),
  };
}

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
      outer: ['embedding', 'head'],
      overwrite: true,
    });
    const { layers, outer } = await readSensitivity(table);
    assert.ok(layers.length > 0);
    assert.ok(layers.every(({ entries }) => entries.some(({ method }) => method === 'int8')));
    assert.deepEqual(session.table?.layers, layers);
    assert.deepEqual(
      outer?.map(({ place, entries }) => [place, entries.length]),
      [
        ['embedding', 2],
        ['head', 2],
      ],
    );
    assert.deepEqual(session.table.outer, outer);
    assert.equal(session.interrupted, undefined);
    const [panel] = espalier.compressions.panels;
    assert.equal(panel?.session, session);
    await until('the script of the panel', () => panel.ready);
  });

  it('keeps what is done when it is cancelled, and resumes', async () => {
    const running = run('profileSensitivity', session, {
      compressions: [{ method: 'lowrank' }, { method: 'mpo' }, { method: 'int4' }],
      overwrite: true,
    });
    await until(
      'the first measurement',
      () =>
        session.table?.layers.some(({ entries }) => entries.length > 0) &&
        session.job.kind === 'running',
    );
    espalier.jobs.cancel();
    await running;
    assert.equal(session.job.kind, 'stopped');
    assert.equal(session.interrupted?.reason, 'cancelled');
    await run('resumeSensitivity', session);
    assert.equal(session.job.kind, 'idle');
    assert.equal(session.interrupted, undefined);
    const { layers } = await readSensitivity(table);
    assert.ok(layers.every(({ entries }) => entries.some(({ method }) => method === 'int4')));
  });

  it('is planned under a budget and saved as a plan', async () => {
    const plan = await run<MadePlan>('planCompression', session, {
      budget: { unit: 'bytes', ratio: 0.8 },
      ways: [{ method: 'lowrank' }, { method: 'int4' }],
      removes: false,
      outer: false,
    });
    assert.ok(plan.result.cost <= 0.8 * plan.result.costBefore);
    assert.deepEqual(session.plan, plan);
    const saved = await run<vscode.Uri>('saveCompressionPlan', session, { overwrite: true });
    const document = JSON.parse(await readFile(saved.fsPath, 'utf8')) as Plan;
    assert.deepEqual(document.compress, plan.result.compress);
    assert.equal(document.model.path, 'dense');
  });

  it('writes a model that takes less', async () => {
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

  /** Begins to compress, and cancels at the first layer. */
  const cancelCompression = async (out: string): Promise<void> => {
    const running = run('compressModel', vscode.Uri.file(model), {
      ...{ format: 'safetensors', layout: 'auto-map', out, overwrite: true },
      ...{ compression: { method: 'lowrank', ratio: 0.5 }, skip: [] },
    });
    await until('the first layer', () => espalier.jobs.current?.progress !== undefined);
    espalier.jobs.cancel();
    assert.equal(await running, undefined);
  };

  it('goes on with a compression that was cancelled', async () => {
    const out = workspacePath('stopped');
    await cancelCompression(out);
    assert.equal(existsSync(out), false);
    assert.ok(session.job.kind === 'stopped' && session.job.what === 'compress');
    assert.ok(session.job.resumable);
    const result = await run<CompressResult>('resumeJob', undefined, { kind: 'compress', model });
    assert.equal(result.path, out);
    assert.ok(result.layers.every(({ method }) => method === 'lowrank'));
    assert.equal(session.job.kind, 'idle');
    assert.deepEqual(espalier.interrupted.all, []);
  });

  it('forgets a compression with what it has done, and offers it no more', async () => {
    const out = workspacePath('forgotten');
    await cancelCompression(out);
    const [job] = espalier.interrupted.find({ kind: 'compress', model });
    assert.ok(job?.end);
    // So that there is something to remove, however soon it was cancelled.
    const folder = workFolder(out, 'compress');
    await mkdir(folder, { recursive: true });
    const beside = workspacePath('.forgotten.espalier-other');
    await mkdir(beside);

    // What has been taken for another folder is not meant.
    assert.ok(job.kind === 'compress');
    await espalier.interrupted.discard({ ...job, request: { ...job.request, out: model } });
    assert.ok(existsSync(folder) && existsSync(model));
    await espalier.interrupted.discard(job);
    assert.equal(existsSync(folder), false);
    assert.ok(existsSync(beside));
    assert.equal(session.job.kind, 'idle');
    assert.deepEqual(espalier.interrupted.all, []);
    await rm(beside, { recursive: true });
  });

  it('does not forget a job that runs again', async () => {
    const memory = memoryOf();
    const jobs = new InterruptedJobs(memory, { assertFree: () => undefined });
    const request = { model: '/m', out: workspacePath('runs') } as RepairModelRequest;
    const job = { kind: 'repair', name: 'm', request } as const;
    const folder = workFolder(request.out, 'repair');
    await mkdir(folder, { recursive: true });
    const never = new Promise<never>(() => undefined);
    void jobs.keep(job, async () => never);
    await until('the memory', () => jobs.all.length > 0);
    await jobs.discard({ ...job, end: { reason: 'cancelled', message: '' } });
    assert.deepEqual(jobs.all, [job]);
    assert.ok(existsSync(folder));
    await jobs.takeUntold();
    await jobs.discard(job);
    assert.deepEqual(jobs.all, []);
    assert.equal(existsSync(folder), false);
  });

  it('finds the teacher of a compressed model, repairs it, and goes on when that was cancelled', async () => {
    const student = vscode.Uri.file(workspacePath('compressed'));
    const out = workspacePath('repaired');
    const running = run('repairModel', student, {
      ...{ text: 'bundled', effort: 'standard', out, overwrite: true },
    });
    await until('the first slice', () => (espalier.jobs.current?.progress?.done ?? 0) > 0);
    espalier.jobs.cancel();
    assert.equal(await running, undefined);
    const [job] = espalier.interrupted.find({ kind: 'repair', model: student.fsPath });
    assert.equal(job?.request.out, out);
    assert.equal(job.kind === 'repair' && job.request.teacher, model);
    const result = await run<RepairResult>('resumeJob', undefined, { out });
    assert.ok(result.lossAfter < result.lossBefore);
    const report = vscode.workspace.textDocuments.find(
      ({ uri }) => uri.scheme === 'espalier-report' && uri.query === out,
    );
    assert.match(report?.getText() ?? '', /block\.1\.feedforward/);
    assert.deepEqual(espalier.interrupted.all, []);
  });

  it('is told of once in a later window, when the window was closed on it', async () => {
    const memento = memoryOf();
    const request = { model: '/m', out: '/m-repaired' } as RepairModelRequest;
    const job = { kind: 'repair', name: 'm', request } as const;
    const never = new Promise<never>(() => undefined);
    void new InterruptedJobs(memento, { assertFree: () => undefined }).keep(job, async () => never);
    await until('the memory', () => memento.get('interruptedJobs') !== undefined);
    const later = new InterruptedJobs(memento, { assertFree: () => undefined });
    assert.deepEqual(await later.takeUntold(), [job]);
    assert.deepEqual(await later.takeUntold(), []);
    assert.equal(later.find({ model: '/m' })[0]?.end?.reason, 'crashed');
    // What is wrong with a request is wrong the next time too.
    const wrong = new WorkerRequestError('no text', { kind: 'user' });
    await assert.rejects(
      later.keep(job, async () => Promise.reject(wrong)),
      wrong,
    );
    assert.deepEqual(later.all, []);
  });
});
