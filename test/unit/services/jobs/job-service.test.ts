import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { CancellationTokenSource } from 'vscode-jsonrpc/node';
import { workFolder } from '../../../../extension/core/jobs/work-folder';
import type { ProfileEvent } from '../../../../extension/core/prune/layer-profile';
import { buildRequest } from '../../../../extension/core/operations/build-request';
import { synthesize } from '../../../../extension/core/operations/synthesize';
import { train } from '../../../../extension/core/operations/train';
import type { RequestOfOperation } from '../../../../extension/protocol/worker';
import { JobService } from '../../../../extension/services/jobs/job-service';
import type { JobRunner } from '../../../../extension/services/jobs/job-environment';
import { JobStore, withoutOldest } from '../../../../extension/services/jobs/job-store';
import {
  jobDocument,
  panelJobs,
  selectPanelJob,
} from '../../../../extension/services/jobs/panel-job';
import type { StoredJob } from '../../../../extension/services/jobs/job-record';
import type { RequestOf } from '../../../../extension/services/jobs/operations';
import {
  RequestCancelled,
  WorkerCrashed,
} from '../../../../extension/services/worker/worker-errors';
import type { RequestWatch } from '../../../../extension/services/worker/worker-process';
import { temporaryFolder } from '../../temporary-folder';
import { UserError } from '../../../../extension/core/user-error';
import { inEnglish, say, verbatim } from '../../../../extension/core/message';
import type { Message } from '../../../../extension/core/message';

/** A request under way, ended by the test. */
interface Call {
  readonly method: string;
  readonly request: { readonly out?: string };
  readonly watch: RequestWatch;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** A worker that does what the test says; a cancelled request ends at once. */
class Runner implements JobRunner {
  public readonly calls: Call[] = [];

  public async request(method: string, request: object, watch: RequestWatch): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.calls.push({ method, request, watch, resolve, reject });
      watch.token?.onCancellationRequested(() => {
        reject(new RequestCancelled());
      });
    });
  }

  /** The request of that number, once it is there. */
  public async call(number: number): Promise<Call> {
    await expect.poll(() => this.calls.length).toBeGreaterThan(number);
    const call = this.calls[number];
    if (call === undefined) throw new Error('no such call');
    return call;
  }
}

const crash = (): WorkerCrashed => new WorkerCrashed('repair', { code: null, signal: 'SIGKILL' });

describe('the job service', () => {
  let folder: string;
  let file: string;
  let worker: Runner;
  let reader: Runner;
  let jobs: JobService;
  const warned: string[] = [];
  const queue = 'redis://me:secret@host:6379';
  const scratch = temporaryFolder();

  const open = (): JobService => {
    worker = new Runner();
    reader = new Runner();
    return new JobService({
      lanes: { worker, dataReader: reader },
      store: new JobStore(file, (text) => warned.push(text)),
      withPassword: (given) => ('queue' in given ? { ...given, queue } : given),
      estimate: async (operation, { model }: { model?: string }) =>
        Promise.resolve(operation === 'repair' && model !== 'new' ? 240 : null),
      check: async (_, { model }: { model?: string }) => {
        if (model === 'no-tokenizer') {
          await Promise.reject(
            new UserError('no-tokenizer', say`It has no tokenizer.`, { remedy: undefined }),
          );
        }
      },
      log: { info: () => undefined, warn: () => undefined, error: () => undefined },
      translate: (message, ...args) =>
        message.replaceAll(/\{(\d)\}/g, (_, index: string) => `${args[Number(index)] ?? ''}`),
      describeError: (error) =>
        error instanceof Error ? error.message : inEnglish(error as Message),
    });
  };
  const request = (out: string, model = 'm'): RequestOfOperation<'repair'> =>
    ({ model, out: join(folder, out) }) as RequestOfOperation<'repair'>;
  const repair = async (out: string, model = 'm'): Promise<unknown> =>
    jobs.run({ operation: 'repair', name: model, request: request(out, model) });
  const makeState = (): string[] => jobs.jobs.map(({ state }) => state).reverse();
  /** Files that a repair leaves next to its output when its process ends. */
  const saveWork = async (out: string): Promise<string> => {
    const work = workFolder(join(folder, out), 'repair');
    await mkdir(work, { recursive: true });
    await writeFile(join(work, 'journal.jsonl'), '{"journal":"x"}\n{"sublayer":1}\n');
    return work;
  };
  const stored = async (): Promise<{ jobs: StoredJob[] }> =>
    JSON.parse(await readFile(file, 'utf8')) as { jobs: StoredJob[] };

  beforeEach(async () => {
    folder = await mkdtemp(join(scratch, 'case-'));
    file = join(folder, 'storage', 'jobs.json');
    warned.length = 0;
    jobs = open();
  });

  it('runs one job of a lane at a time, in the order in which they were asked for', async () => {
    const first = repair('a');
    const second = repair('b');
    const third = repair('c');
    expect(makeState()).toEqual(['running', 'queued', 'queued']);
    expect(jobs.jobs.map((job) => jobs.place(job)).reverse()).toEqual([0, 1, 2]);
    (await worker.call(0)).resolve('one');
    expect(await first).toBe('one');
    expect(makeState()).toEqual(['done', 'running', 'queued']);
    (await worker.call(1)).reject(new UserError('value-invalid', say`bad`, { remedy: undefined }));
    await expect(second).rejects.toFailWith({ code: 'value-invalid' });
    (await worker.call(2)).resolve('three');
    expect(await third).toBe('three');
    expect(worker.calls.map(({ request: { out } }) => out)).toEqual(
      ['a', 'b', 'c'].map((name) => join(folder, name)),
    );
  });

  it('ends a waiting job that can not run before its turn', async () => {
    const first = repair('a');
    const refused = repair('b', 'no-tokenizer');
    const last = repair('c');
    await expect(refused).rejects.toThrow('It has no tokenizer.');
    expect(makeState()).toEqual(['running', 'failed', 'queued']);
    expect(jobs.jobs.find(({ model }) => model === 'no-tokenizer')?.message).toBe(
      'It has no tokenizer.',
    );
    (await worker.call(0)).resolve('one');
    (await worker.call(1)).resolve('three');
    expect([await first, await last]).toEqual(['one', 'three']);
  });

  it('estimates the start of a waiting job from the jobs before it', async () => {
    const first = repair('a');
    const second = repair('b');
    const third = repair('c', 'new');
    const fourth = repair('d');
    const startsIn = (): (number | undefined)[] =>
      jobs.jobs.map((job) => jobs.queuePosition(job).startsIn).reverse();
    const { watch, resolve } = await worker.call(0);
    await expect.poll(() => jobs.jobs.filter(({ expected }) => expected === 240)).toHaveLength(2);
    // Nothing is known of the first yet.
    expect(startsIn()).toEqual([0, undefined, undefined, undefined]);
    const progress = { stage: say`Round ${1}`, done: 1, total: 4, unit: 'steps' } as const;
    watch.onProgress?.({ ...progress, secondsLeft: 180 });
    // Nothing is known of the third.
    expect(startsIn()).toEqual([0, 180, 420, undefined]);
    resolve('one');
    await first;
    const { resolve: end } = await worker.call(1);
    // The second runs: its estimate counts until it has progress.
    expect(startsIn()[2]).toBeGreaterThan(230);
    expect(startsIn()[2]).toBeLessThanOrEqual(240);
    end('two');
    (await worker.call(2)).resolve('three');
    (await worker.call(3)).resolve('four');
    expect(await Promise.all([second, third, fourth])).toEqual(['two', 'three', 'four']);
  });

  it('cancels only the job of a token', async () => {
    const source = new CancellationTokenSource();
    const [before, after] = [repair('a'), repair('c')];
    const operation = { operation: 'repair', name: 'm', request: request('b') } as const;
    const own = jobs.run({ ...operation, token: source.token });
    source.cancel();
    await expect(own).rejects.toThrow(RequestCancelled);
    expect(makeState()).toEqual(['running', 'queued', 'cancelled']);
    (await worker.call(0)).resolve('one');
    (await worker.call(1)).resolve('two');
    await Promise.all([before, after]);
  });

  it('reports the expected time of a queued job, if an earlier run provides it', async () => {
    const reported = (): unknown[] => jobs.jobs.map(({ expected }) => expected).reverse();
    const all = [repair('a'), repair('b'), repair('c', 'new')];
    await expect.poll(reported).toEqual([undefined, 240, undefined]);
    (await worker.call(0)).resolve('one');
    await all[0];
    // It counts for the jobs after it until its progress does.
    expect(reported()).toEqual([undefined, 240, undefined]);
    (await worker.call(1)).resolve('two');
    (await worker.call(2)).resolve('three');
    await Promise.all(all);
  });

  it('runs jobs of the data reader in parallel to those of the worker', async () => {
    const first = repair('a');
    const exporting = jobs.run({
      ...{ operation: 'convert-scores', name: 'd' },
      request: { scores: '/s', out: '/o', format: 'npy' },
    });
    expect(jobs.running).toHaveLength(2);
    (await reader.call(0)).resolve({ examples: 3 });
    expect(await exporting).toEqual({ examples: 3 });
    (await worker.call(0)).resolve({});
    await first;
  });

  it('removes a job from the queue before it runs', async () => {
    const first = repair('a');
    const second = repair('b');
    const third = repair('c');
    const [, waiting] = jobs.jobs;
    jobs.cancel(waiting?.id ?? '');
    await expect(second).rejects.toBeInstanceOf(RequestCancelled);
    expect(makeState()).toEqual(['running', 'cancelled', 'queued']);
    (await worker.call(0)).resolve({});
    await first;
    const next = await worker.call(1);
    expect(next.request.out).toBe(join(folder, 'c'));
    next.resolve({});
    await third;
    expect(worker.calls).toHaveLength(2);
  });

  it('stores the address of a queue without the password that the worker gets', async () => {
    const given = { ...request('a'), queue } as RequestOfOperation<'repair'>;
    const running = jobs.run({ operation: 'repair', name: 'm', request: given });
    const call = await worker.call(0);
    expect(call.request).toEqual(given);
    call.resolve({});
    await running;
    expect(jobs.jobs[0]?.request).toMatchObject({ queue: 'redis://me@host:6379' });
    await expect.poll(async () => (await stored()).jobs[0]?.state).toBe('done');
    expect(await readFile(file, 'utf8')).not.toContain('secret');
  });

  it('reports progress, the time left, warnings and stages', async () => {
    const running = repair('a');
    const { watch, resolve } = await worker.call(0);
    const step = (stage: string, done: number): void =>
      watch.onProgress?.({ stage: verbatim(stage), done, total: 10, unit: 'steps' });
    step('One', 1);
    step('Two', 2);
    watch.onWarning?.(say`falls back to CPU`);
    watch.onInformation?.(say`one joins`);
    const tally = { done: 2, seconds: 3, isBusy: true };
    watch.onWorkers?.([{ ...tally, name: say`This process` }]);
    expect(jobs.running[0]?.workers).toEqual([{ ...tally, name: 'This process' }]);
    watch.onWarning?.(say`falls back to CPU`);
    expect(jobs.running[0]?.progress).toMatchObject({ stage: 'Two', done: 2, total: 10 });
    resolve({ written: { path: 'a' }, unit: 'nats', lossBefore: 2, lossAfter: 1 });
    await running;
    const [job] = jobs.jobs;
    expect(job?.warnings).toEqual(['falls back to CPU']);
    expect(job?.workers).toBeUndefined();
    expect(job?.log.map(({ text }) => text)).toEqual([
      ...['Started.', 'One', 'Two', 'falls back to CPU', 'one joins'],
      expect.stringMatching(/^a: the distance to the original .* fell from 2.00 to 1.00/),
    ]);
    expect(job?.outputs).toEqual([join(folder, 'a')]);
  });

  it('offers to resume a job that crashed, under the same id', async () => {
    const running = repair('a');
    await saveWork('a');
    (await worker.call(0)).reject(crash());
    await expect(running).rejects.toBeInstanceOf(WorkerCrashed);
    const [job] = jobs.resumable;
    expect(job).toMatchObject({
      state: 'interrupted',
      cause: 'crashed',
      saved: 'Progress is saved.',
    });
    const resumed = jobs.resume(job?.id ?? '');
    (await worker.call(1)).resolve('done');
    expect(await resumed).toBe('done');
    expect(jobs.jobs).toHaveLength(1);
    expect(jobs.jobs[0]).toMatchObject({ id: job?.id, state: 'done' });
    expect(jobs.jobs[0]?.saved).toBeUndefined();
    expect(jobs.resumable).toEqual([]);
  });

  it('offers nothing if nothing is saved', async () => {
    const failing = repair('a');
    (await worker.call(0)).reject(
      new UserError('no-tokenizer', say`no tokenizer.json`, { remedy: undefined }),
    );
    await expect(failing).rejects.toThrow();
    const crashing = repair('b');
    const work = await saveWork('b');
    // A journal that only says what the job is.
    await writeFile(join(work, 'journal.jsonl'), '{"journal":"x"}\n');
    (await worker.call(1)).reject(crash());
    await expect(crashing).rejects.toThrow();
    const cancelled = repair('c');
    await worker.call(2);
    jobs.cancel(jobs.running[0]?.id ?? '');
    await expect(cancelled).rejects.toThrow();
    expect(makeState()).toEqual(['failed', 'failed', 'cancelled']);
    expect(jobs.resumable).toEqual([]);
    expect(await jobs.resume(jobs.jobs[0]?.id ?? '')).toBeUndefined();
    expect(jobs.jobs.at(-1)?.message).toBe('no tokenizer.json');
  });

  it('remembers two jobs of a kind on the same model', async () => {
    for (const out of ['a', 'b']) {
      const running = repair(out);
      await saveWork(out);
      (await worker.call(worker.calls.length - 1)).reject(crash());
      await expect(running).rejects.toThrow();
    }
    const repairs = jobs.resumable.filter(({ operation }) => operation === 'repair');
    expect(repairs.map(({ request }) => 'out' in request && request.out)).toEqual(
      ['b', 'a'].map((name) => join(folder, name)),
    );
  });

  it('hands saved work over to a later job with the same output', async () => {
    const running = repair('a');
    await saveWork('a');
    (await worker.call(0)).reject(crash());
    await expect(running).rejects.toThrow();
    const again = repair('a');
    await worker.call(1);
    expect(jobs.resumable).toEqual([]);
    (await worker.call(1)).resolve({});
    await again;
  });

  it('discards a job with its saved progress, and nothing else', async () => {
    const running = repair('a');
    const [work, other] = [await saveWork('a'), await saveWork('b')];
    const id = jobs.running[0]?.id ?? '';
    await jobs.discard(id);
    expect(existsSync(work)).toBe(true);
    (await worker.call(0)).reject(crash());
    await expect(running).rejects.toThrow();
    await jobs.discard(id);
    expect(existsSync(work)).toBe(false);
    expect(existsSync(other)).toBe(true);
    expect(jobs.jobs).toEqual([]);
  });

  it('keeps the output of a job that saves its work there', async () => {
    const out = join(folder, 'trained');
    const request = buildRequest(train, { data: 'd', out });
    const running = jobs.run({ operation: 'train', name: 'd', request });
    await mkdir(out);
    await writeFile(join(out, 'seed-0.safetensors'), 'x');
    (await worker.call(0)).reject(crash());
    await expect(running).rejects.toThrow();
    const [job] = jobs.resumable;
    expect(job).toMatchObject({ model: 'd', saved: 'Progress is saved.' });
    await jobs.discard(job?.id ?? '');
    expect(existsSync(join(out, 'seed-0.safetensors'))).toBe(true);
    expect(jobs.jobs).toEqual([]);
  });

  it('restores running and waiting jobs after a reload', async () => {
    void repair('a');
    void repair('b');
    await saveWork('a');
    (await worker.call(0)).watch.onProgress?.({ stage: say`x`, done: 1, total: 2, unit: 'steps' });
    await expect.poll(async () => (await stored()).jobs.length).toBe(2);
    jobs.dispose();
    jobs = open();
    expect(makeState()).toEqual(['interrupted', 'interrupted']);
    const [waited, ran] = jobs.jobs;
    expect(ran).toMatchObject({ cause: 'closed', saved: 'Progress is saved.' });
    expect(ran?.message).toBe('The window was closed while the job ran.');
    expect(waited?.message).toBe('The window was closed before the job started.');
    expect(jobs.resumable.map(({ id }) => id)).toEqual([ran?.id]);
    const resumed = jobs.resume(ran?.id ?? '');
    (await worker.call(0)).resolve('whole');
    expect(await resumed).toBe('whole');
  });

  it('ignores the end of its process when the window closes', async () => {
    const running = repair('a');
    const { reject } = await worker.call(0);
    await expect.poll(() => existsSync(file)).toBe(true);
    jobs.dispose();
    reject(crash());
    // The job has ended before the next turn of the event loop: nothing that it awaits is slow.
    await Promise.race([running, setImmediate()]);
    expect((await stored()).jobs[0]?.state).toBe('running');
  });

  it('continues without a damaged store, and moves it away', async () => {
    await mkdir(join(file, '..'), { recursive: true });
    await writeFile(file, '{"format":"espalier.jobs","ver');
    jobs = open();
    expect(jobs.jobs).toEqual([]);
    expect(warned[0]).toMatch(/jobs\.json: The file is not JSON/);
    expect(existsSync(`${file}.damaged`)).toBe(true);
    const running = repair('a');
    (await worker.call(0)).resolve({});
    await running;
    await expect.poll(async () => (await stored()).jobs[0]?.state).toBe('done');
  });

  it('leaves out single jobs that it cannot read', async () => {
    const running = repair('a');
    (await worker.call(0)).resolve({});
    await running;
    await expect.poll(async () => (await stored()).jobs[0]?.state).toBe('done');
    const { jobs: known, ...rest } = await stored();
    const other = { ...known[0], operation: 'bake' };
    await writeFile(file, JSON.stringify({ ...rest, jobs: [other, ...known] }));
    expect(open().jobs.map(({ operation }) => operation)).toEqual(['repair']);
  });

  it('keeps a bounded history, and all that can be resumed', () => {
    const job = (id: number, state: StoredJob['state'], saved?: string): StoredJob => ({
      ...{ id: `${id}`, operation: 'repair', title: '', name: '', model: '', request: {}, state },
      ...{ created: id, outputs: [], warnings: [], log: [], saved },
    });
    const all = [job(0, 'done'), job(1, 'cancelled', 'some'), job(2, 'failed'), job(3, 'running')];
    expect(withoutOldest(all, 2).map(({ id }) => id)).toEqual(['1', '3']);
    expect(withoutOldest(all, 9)).toHaveLength(4);
  });

  it('shows the result of a job as its operation declares, also after a resume', async () => {
    const begun: boolean[] = [];
    const shown: string[] = [];
    jobs.follow('synthesize', {
      begin: (_, resumed) => begun.push(resumed),
      done: ({ document }) => {
        shown.push(document.best.name);
      },
    });
    const reported: (string | undefined)[] = [];
    jobs.ended.listen(({ job }) => reported.push(job.result));
    const out = join(folder, 'evolution');
    await mkdir(out);
    await writeFile(join(out, 'synthesis.journal.jsonl'), '{}\n{}\n');
    const synthesis = buildRequest(synthesize, { out });
    const running = jobs.run({ operation: 'synthesize', name: 'evolution', request: synthesis });
    (await worker.call(0)).reject(crash());
    await expect(running).rejects.toThrow();
    const resumed = jobs.resume(jobs.jobs[0]?.id ?? '');
    const best = { name: 'star', metrics: { test: 0.5 } };
    (await worker.call(1)).resolve({ document: { best } });
    await resumed;
    expect(begun).toEqual([false, true]);
    expect(shown).toEqual(['star']);
    const result: unknown = expect.stringMatching(
      /best module is star, accuracy 50.% on test data/,
    );
    expect(reported).toEqual([undefined, result]);
    expect(jobs.jobs[0]?.result).toEqual(result);
  });

  it('names the job that threw an error', async () => {
    const running = repair('a');
    const error = new UserError('value-invalid', say`bad`, { remedy: undefined });
    (await worker.call(0)).reject(error);
    await expect(running).rejects.toBe(error);
    expect(jobs.failed(error)?.id).toBe(jobs.jobs[0]?.id);
    expect(jobs.failed(new Error('other'))).toBeUndefined();
  });

  describe('with a search', () => {
    const out = (): string => join(folder, 'm.layerprofile.json');
    const profile = async (): Promise<unknown> =>
      jobs.run({
        ...{ operation: 'profile', name: 'm' },
        request: { model: 'm', out: out() } as RequestOf<'profile'>,
      });
    const event = (watch: RequestWatch, told: Partial<ProfileEvent>): void => watch.onEvent?.(told);
    const candidates = ['a', 'b', 'c'];

    it('counts saved work once', async () => {
      const running = profile();
      const { watch, reject } = await worker.call(0);
      event(watch, { kind: 'started', candidates });
      for (const sublayer of ['a', 'b', 'a']) {
        event(watch, { kind: 'candidate', round: 1, distance: { sublayer, distance: 1 } });
      }
      event(watch, { kind: 'candidate', round: 2, distance: { sublayer: 'c', distance: 1 } });
      await writeFile(join(folder, 'm.layerprofile.journal.jsonl'), '{}\n{}\n');
      reject(new RequestCancelled());
      await expect(running).rejects.toThrow();
      expect(jobs.resumable[0]?.saved).toBe('Saved: 2 of 3 sublayers.');
      // The count is kept while a journal repeats it.
      const resumed = jobs.resume(jobs.resumable[0]?.id ?? '');
      const again = await worker.call(1);
      event(again.watch, { kind: 'started', candidates });
      event(again.watch, { kind: 'candidate', round: 1, distance: { sublayer: 'a', distance: 1 } });
      again.reject(crash());
      await expect(resumed).rejects.toThrow();
      expect(jobs.resumable[0]?.saved).toBe('Saved: 2 of 3 sublayers.');
    });

    it('is the state of a panel: queued, running, stopped, idle', async () => {
      const shown = () =>
        selectPanelJob(
          jobs,
          panelJobs(jobs.jobs, 'heatmap', (job) => jobDocument(job) !== undefined),
        );
      expect(shown()).toEqual({ kind: 'idle' });
      const first = repair('a');
      const running = profile();
      expect(shown()).toMatchObject({
        ...{ kind: 'queued', name: 'Profiling', position: { place: 1 } },
      });
      (await worker.call(0)).resolve({});
      await first;
      const { watch, reject } = await worker.call(1);
      watch.onProgress?.({ stage: say`Round ${1}`, done: 1, total: 4, unit: 'steps' });
      expect(shown()).toMatchObject({ kind: 'running', progress: { stage: 'Round 1', done: 1 } });
      reject(new UserError('no-tokenizer', say`no tokenizer.json`, { remedy: undefined }));
      await expect(running).rejects.toThrow();
      const stopped = shown();
      expect(stopped).toMatchObject({ kind: 'stopped', reason: 'failed' });
      expect(stopped).not.toHaveProperty('saved');
      expect(shown()).toMatchObject({ message: 'no tokenizer.json' });
      const again = profile();
      (await worker.call(2)).resolve({});
      await again;
      expect(shown()).toEqual({ kind: 'idle' });
    });
  });
});
