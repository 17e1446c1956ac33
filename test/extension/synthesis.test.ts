import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import * as vscode from 'vscode';
import { viewEvolution } from '../../extension/core/symbolic/evolution/evolution-view';
import type { EvolutionView } from '../../extension/core/symbolic/evolution/evolution-view';
import { parseGssnnDocument } from '../../extension/core/symbolic/evolution/gssnn-document';
import type { GssnnDocument } from '../../extension/core/symbolic/evolution/gssnn-document';
import type { SynthesisResult } from '../../extension/core/symbolic/evolution/synthesize';
import { buildRequest } from '../../extension/core/operations/build-request';
import { synthesize } from '../../extension/core/operations/synthesize';
import type { Espalier } from '../../extension/host';
import type { RequestOfOperation } from '../../extension/protocol/worker';
import { logPath } from '../../extension/services/sessions/synthesis-sessions';
import type { SynthesisSession } from '../../extension/services/sessions/synthesis-session';
import { activate, resumable, until, workspacePath } from './support';

describe('Synthesize Modules', () => {
  let espalier: Espalier;
  let first: GssnnDocument;
  const requestTo = (out: string): RequestOfOperation<'synthesize'> =>
    buildRequest(synthesize, {
      ...{ iterations: 2, population: 6, seed: 1, programs: 20_000 },
      ...{ epochs: 6, baselines: 1 },
      ...{ dataSeed: 1, train: 32, validation: 16, test: 16 },
      out: workspacePath(out),
    });
  const run = async <T>(command: string, ...args: readonly unknown[]): Promise<T> =>
    vscode.commands.executeCommand<T>(`espalier.${command}`, ...args);
  const makeSession = (out: string): SynthesisSession =>
    espalier.synthesisSessions.get(logPath(workspacePath(out)));
  const shownView = (session: SynthesisSession): EvolutionView | undefined =>
    session.read(['evolution']).evolution;
  const readLog = async (out: string): Promise<GssnnDocument> => {
    const file = logPath(workspacePath(out));
    return parseGssnnDocument(await readFile(file, 'utf8'), file);
  };
  /** Fields that don't depend on the clock. */
  const found = ({ iterations, best }: Pick<GssnnDocument, 'iterations' | 'best'>): unknown => [
    iterations.map(({ models }) => models.map(({ program, metrics }) => [program, metrics])),
    best.program,
  ];

  before(async () => {
    espalier = await activate();
  });
  after(async () => {
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
  });

  it('shows the evolution while it runs, and writes its log', async () => {
    const running = run<SynthesisResult>('synthesizeModules', undefined, {
      request: requestTo('evolved'),
    });
    const session = makeSession('evolved');
    await until('the panel', () => espalier.syntheses.isShown(session));
    const { log, document } = await running;
    assert.equal(log, session.file);
    first = await readLog('evolved');
    assert.deepEqual(found(first), found(document));
    assert.equal(first.iterations.length, 2);
    assert.ok(first.iterations.every(({ models }) => models.length > 0));
    const panel = espalier.syntheses.panels.find((one) => one.session === session);
    await until('the script of the panel', () => panel?.ready);
    assert.equal(session.job.kind, 'idle');
    await until('what it shows', () => shownView(session)?.iterations.length === 2);
    assert.deepEqual(resumable(espalier, 'synthesize'), []);
  });

  it('keeps trained networks when canceled, and resumes to the same result', async () => {
    const running = run('synthesizeModules', undefined, { request: requestTo('stopped') });
    const session = makeSession('stopped');
    await until('a trained network', () => (shownView(session)?.baselines.length ?? 0) > 0);
    await run('cancelJob');
    assert.equal(await running, undefined);
    assert.ok(session.job.kind === 'stopped' && session.job.reason === 'cancelled');
    const [job] = resumable(espalier, 'synthesize');
    assert.equal(job?.request.out, workspacePath('stopped'));
    assert.equal(session.job.id, job.id);
    const { document } = await run<SynthesisResult>('resumeJob', job.id);
    assert.deepEqual(found(document), found(first));
    assert.deepEqual(found(await readLog('stopped')), found(first));
    assert.equal(session.job.kind, 'idle');
    assert.deepEqual(resumable(espalier, 'synthesize'), []);
  });

  it('opens the log in its own editor', async () => {
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
    await until('no panel', () => espalier.syntheses.panels.length === 0);
    const file = vscode.Uri.file(logPath(workspacePath('evolved')));
    await vscode.commands.executeCommand('vscode.open', file);
    await until('the panel', () => espalier.syntheses.panels[0]?.ready);
    const shown = shownView(makeSession('evolved'));
    assert.deepEqual(shown, viewEvolution({ ...first, models: [] }));
  });
});
