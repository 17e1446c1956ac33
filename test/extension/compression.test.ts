import assert from 'node:assert/strict';
import { readFile, rm } from 'node:fs/promises';
import * as vscode from 'vscode';
import type { HealResult } from '../../extension/core/export/compression/heal-model';
import type { CompressResult } from '../../extension/core/export/compression/compress-model';
import type { PrunePlan } from '../../extension/core/export/prune-plan';
import type { Espalier } from '../../extension/extension';
import type { MadePlan } from '../../extension/protocol/compression';
import type { CompressionSession } from '../../extension/services/compression-session';
import { readSensitivity } from '../../extension/services/documents';
import { activate, configure, placeFixture, until, workspacePath } from './support';

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
      overwrite: true,
    });
    const { layers } = await readSensitivity(table);
    assert.ok(layers.length > 0);
    assert.ok(layers.every(({ entries }) => entries.some(({ method }) => method === 'int8')));
    assert.deepEqual(session.table?.layers, layers);
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
    });
    assert.ok(plan.result.cost <= 0.8 * plan.result.costBefore);
    assert.deepEqual(session.plan, plan);
    const saved = await run<vscode.Uri>('saveCompressionPlan', session, { overwrite: true });
    const document = JSON.parse(await readFile(saved.fsPath, 'utf8')) as PrunePlan;
    assert.deepEqual(document.compress, plan.result.compress);
    assert.equal(document.model.path, 'dense');
  });

  it('writes a model that takes less', async () => {
    const out = workspacePath('compressed');
    const options = { format: 'safetensors', dialect: 'auto-map', out, overwrite: true };
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

  it('finds the teacher of a compressed model and heals it', async () => {
    const result = await run<HealResult>(
      'healModel',
      vscode.Uri.file(workspacePath('compressed')),
      { text: 'bundled', out: workspacePath('healed'), overwrite: true },
    );
    assert.ok(result.lossAfter < result.lossBefore);
  });
});
