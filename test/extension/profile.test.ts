import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import * as vscode from 'vscode';
import {
  perplexityRequest,
  profileRequest,
  runFor,
} from '../../extension/services/jobs/model-requests';
import type { TaskEvaluation } from '../../extension/core/evaluate/evaluate-models';
import type { WrittenReport } from '../../extension/core/operations/report';
import { shownProfile } from '../../extension/core/prune/layer-profile';
import type { LayerProfile } from '../../extension/core/prune/layer-profile';
import type { Espalier } from '../../extension/host';
import type { ModelSession } from '../../extension/services/sessions/model-session';
import { smallLossRounds, wholeModel } from '../../extension/services/sessions/selection';
import { answering } from './answers';
import {
  activate,
  configure,
  longSearch,
  placeFixture,
  searchUnderWay,
  shortSearch,
  until,
} from './support';

describe('Profile Layers', () => {
  let espalier: Espalier;

  before(async () => {
    espalier = await activate();
  });

  const start = (session: ModelSession): Thenable<unknown> =>
    vscode.commands.executeCommand('espalier.profileLayers', vscode.Uri.file(session.model.path), {
      overwrite: true,
    });
  const open = async (name: string): Promise<ModelSession> =>
    espalier.sessions.open(await placeFixture('llama-gqa-untied', name));
  const measured = ({ profile }: ModelSession): number =>
    profile?.candidates.filter(({ distance }) => distance !== null).length ?? 0;
  const readProfile = async (session: ModelSession): Promise<LayerProfile> =>
    JSON.parse(await readFile(session.profilePath, 'utf8')) as LayerProfile;

  it('offers a quick and a standard search with their times before a long profile', async () => {
    await configure(shortSearch);
    const session = await open('asked');
    const { worker } = espalier;
    const request = worker.request.bind(worker);
    const stub: typeof request = async (method, asked, ...rest) => {
      if (method !== 'expect') return request(method, asked, ...rest);
      const { search } = (asked as { readonly request: { readonly search: string } }).request;
      return search === 'one-shot' ? 120 : 7500;
    };
    Object.assign(worker, { request: stub });
    try {
      const { asked } = await answering(['Quick Look'], () => start(session));
      assert.deepEqual(
        asked.map(({ title, offered, descriptions }) => [title, offered, descriptions]),
        [['How thoroughly?', ['Quick Look', 'Standard'], ['about 2 min', 'about 2 h 5 min']]],
      );
    } finally {
      Reflect.deleteProperty(worker, 'request');
    }
    const { settings, baselines } = await readProfile(session);
    assert.equal(settings.mode, 'one-shot');
    assert.deepEqual(Object.keys(baselines), []);
  });

  it('fills in the heatmap and saves a document next to the model', async () => {
    await configure(shortSearch);
    const session = await open('profiled');
    const seen = new Set<number>();
    const listening = session.grown.listen(() => {
      seen.add(measured(session));
    });
    await start(session);
    listening.dispose();
    assert.ok(seen.size > 2, `candidates came at once: ${[...seen].join(' ')}`);

    const profile = await readProfile(session);
    assert.equal(session.profilePath, `${session.model.path}.layerprofile.json`);
    assert.equal(profile.model.fingerprint, session.model.fingerprint);
    assert.equal(profile.candidates.length, session.model.sublayers.length);
    assert.equal(profile.rounds.length, session.model.sublayers.length / 2);
    assert.deepEqual(session.profile?.rounds, shownProfile(profile).rounds);
    assert.deepEqual(
      session.selection.removed,
      profile.rounds.slice(0, smallLossRounds(profile)).map(({ removed }) => removed),
    );
    assert.equal(session.job.kind, 'idle');
    assert.deepEqual(espalier.jobs.running, []);
    assert.ok(espalier.heatmaps.panels.some((panel) => panel.session === session));

    const out = `${session.model.path}.report.html`;
    const document = vscode.Uri.file(session.profilePath);
    const report = await vscode.commands.executeCommand<WrittenReport>(
      'espalier.writeReport',
      document,
      // The menu of a tab adds where it is.
      { out, groupId: 0, editorIndex: 0 },
    );
    assert.equal(report.title, 'Layer profile of profiled');
    assert.ok((await readFile(out, 'utf8')).includes(profile.rounds[0]?.removed ?? 'a round'));
    assert.equal(espalier.jobs.jobs[0]?.result, 'Wrote profiled.report.html.');
  });

  it('is canceled, and keeps its measurements', async () => {
    await configure(longSearch);
    const session = await open('cancelled');
    const running = start(session);
    await searchUnderWay(session);
    await until('a distance', () => measured(session) > 0);
    await vscode.commands.executeCommand('espalier.cancelJob');
    await running;
    assert.ok(session.job.kind === 'stopped');
    assert.equal(session.job.reason, 'cancelled');
    const known = measured(session);
    assert.equal(
      session.job.saved,
      `Saved: ${known} of ${session.model.sublayers.length} sublayers.`,
    );
    assert.ok(known > 0);
  });

  it('shows the earlier profile again after the saved progress of another search is discarded', async () => {
    await configure(shortSearch);
    const session = await open('searched-again');
    await start(session);
    const before = session.profile;
    assert.ok(before?.search !== undefined);
    await configure(longSearch);
    const running = start(session);
    await searchUnderWay(session);
    await until(
      'a distance of the other search',
      () => session.profile?.search === undefined && measured(session) > 0,
    );
    await vscode.commands.executeCommand('espalier.cancelJob');
    await running;
    assert.ok(session.job.kind === 'stopped' && session.job.saved !== undefined);
    assert.equal(session.profile?.search, undefined);
    await vscode.commands.executeCommand('espalier.discardJob', session.job.id, {
      confirmed: true,
    });
    await until('the earlier profile', () => session.profile?.search !== undefined);
    assert.deepEqual(session.profile?.candidates, before.candidates);
    assert.deepEqual(session.profile.rounds, before.rounds);
  });

  it('reports a killed worker, and Resume gives the same result', async () => {
    await configure({ ...longSearch, 'calibration.sequences': 8 });
    const whole = await open('undisturbed');
    await start(whole);

    const session = await open('killed');
    const running = start(session);
    await until('a round', () => (session.profile?.rounds.length ?? 0) > 0);
    const { pid } = espalier.worker;
    assert.ok(pid !== undefined);
    process.kill(pid, 'SIGKILL');
    await running;
    assert.ok(session.job.kind === 'stopped');
    assert.equal(session.job.reason, 'crashed');
    assert.match(session.job.message, /SIGKILL/);

    const before = measured(session);
    const resumed = vscode.commands.executeCommand('espalier.resumeJob', session.job.id);
    await until('the resumed search', () => session.job.kind === 'running');
    assert.ok(measured(session) >= before);
    await resumed;
    assert.notEqual(espalier.worker.pid, pid);
    const [again, expected] = [await readProfile(session), await readProfile(whole)];
    assert.deepEqual(again.rounds, expected.rounds);
    assert.deepEqual(again.candidates, expected.candidates);
    assert.equal(session.job.kind, 'idle');
  });

  it('queues a second job while one runs', async () => {
    await configure(longSearch);
    const [session, other] = [await open('busy'), await open('waiting')];
    const running = start(session);
    await searchUnderWay(session);
    const request = perplexityRequest(espalier.settings, other, wholeModel);
    const evaluating = runFor(espalier.jobs, other, 'evaluate', request);
    await until(
      'its place in the queue',
      () => other.job.kind === 'queued' && other.job.position.place === 1,
    );
    assert.equal(session.job.kind, 'running');
    await vscode.commands.executeCommand('espalier.cancelJob', session.job.id);
    await running;
    const result = await evaluating;
    assert.ok('perplexity' in result && (result.perplexity ?? 0) > 0);
    assert.equal(other.job.kind, 'idle');
    const [job] = espalier.jobs.jobs;
    assert.match(job?.result ?? '', /^perplexity .* on .* tokens/);
  });

  it('leaves nothing to resume after an immediate failure, and reports the error', async () => {
    const session = await open('no-tokenizer');
    await rm(join(session.model.path, 'tokenizer.json'));
    await start(session);
    assert.ok(session.job.kind === 'stopped');
    assert.equal(session.job.reason, 'failed');
    assert.equal(session.job.saved, undefined);
    assert.match(session.job.message, /tokenizer\.json/);
  });

  it('measures perplexity of the model and of a selection, and keeps them', async () => {
    await configure(shortSearch);
    const session = await open('evaluated');
    await start(session);
    session.chooseRounds(1);
    await vscode.commands.executeCommand('espalier.evaluateModel', session, { selection: true });
    const { selectionEvaluation } = session.snapshot();
    assert.ok(selectionEvaluation !== undefined && selectionEvaluation.tokens > 0);
    assert.ok(session.originalEvaluation !== undefined);
    assert.notEqual(session.originalEvaluation.perplexity, selectionEvaluation.perplexity);
    const { evaluations, rounds: all } = await readProfile(session);
    assert.deepEqual([...new Set(evaluations.map(({ rounds }) => rounds))], [0, 1, all.length]);
    const [original] = evaluations;
    assert.equal(session.originalEvaluation.perplexity, original?.perplexity);
    session.chooseMark('block.0.attention', 'removed');
    assert.equal(session.snapshot().selectionEvaluation, undefined);
  });

  it("measures the task accuracy of a selection and its share of the original's", async () => {
    const session = await open('judged');
    session.chooseMark('block.2.feedforward', 'removed');
    const task = join(session.model.path, 'questions.jsonl');
    const rows = Array.from({ length: 6 }, (_, i) =>
      JSON.stringify({ context: 'the quick', choices: ['brown', 'lazy dog'], answer: i % 2 }),
    );
    await writeFile(task, `${rows.join('\n')}\n`);
    const result: TaskEvaluation = await vscode.commands.executeCommand(
      'espalier.evaluateModel',
      session,
      { selection: true, measure: { task, shots: 1 } },
    );
    assert.equal(result.examples, 6);
    assert.ok(result.against !== undefined && result.compared !== undefined);
    const [job] = espalier.jobs.jobs;
    assert.match(
      job?.result ?? '',
      /acc .* from the original|acc: no significant difference from the original/,
    );
    assert.match(job?.result ?? '', /Changed answers: \d+ wrong → right/);
  });

  it('compares a selection with the full model on a chosen text', async () => {
    const session = await open('compared');
    session.chooseMark('block.2.feedforward', 'removed');
    const { asked } = await answering(['Text, compared…'], () =>
      vscode.commands.executeCommand('espalier.evaluateModel', session),
    );
    assert.deepEqual(asked[0]?.offered, ['Text', 'Text, compared…', 'Task…']);
    const [job] = espalier.jobs.jobs;
    assert.ok(job?.operation === 'evaluate');
    assert.equal(job.request.against, session.model.path);
    assert.match(job.result ?? '', /perplexity .* → .*KL divergence/);
  });

  it('shows how scoring experts ends, also without a result', async () => {
    const session = await espalier.sessions.open(await placeFixture('qwen3-moe', 'mixture'));
    const { path } = session.model;
    await vscode.commands.executeCommand('espalier.scoreExperts', vscode.Uri.file(path), {
      ratio: 0.5,
    });
    assert.ok(session.job.kind === 'stopped' && session.job.name === 'Scoring experts');
    assert.match(session.job.message, /tokenizer\.json/);
  });

  it('names the invalid setting', async () => {
    await configure({ memory: 'plenty' });
    const session = await open('misconfigured');
    assert.throws(() => profileRequest(espalier.settings, session), /espalier\.memory.*plenty/);
    await configure({ memory: undefined });
  });
});
