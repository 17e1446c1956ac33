import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { text } from 'node:stream/consumers';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import packageJson from '../../../package.json';
import { isPublic, parseQueueAddress } from '../../../extension/core/distribute/queue/address';
import { connect } from '../../../extension/core/distribute/queue/connection';
import type { QueueServer } from '../../../extension/core/distribute/queue/connection';
import * as library from '../../../extension/core/distribute/queue/library';
import { QueueEngine } from '../../../extension/core/distribute/queue/queue-engine';
import { serveQueue } from '../../../extension/core/distribute/queue/queue-worker';
import { Registry } from '../../../extension/core/distribute/queue/registry';
import { scoreDataset } from '../../../extension/core/datadiet/scores/score-dataset';
import { defaultTraining } from '../../../extension/core/datadiet/training/training-settings';
import type { Engine } from '../../../extension/core/distribute/work-item';
import { localOnly } from '../../../extension/core/distribute/with-workers';
import { unattended } from '../../../extension/core/jobs/job';
import type { JobContext, WorkerProgress } from '../../../extension/core/jobs/job';
import { inEnglish } from '../../../extension/core/message';
import { loadModelInputs } from '../../../extension/core/data/model-inputs';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import type { QueueState } from '../../../extension/core/operations/show-queue';
import type { LayerProfile, ProfileEvent } from '../../../extension/core/prune/layer-profile';
import { defaultSettings } from '../../../extension/core/prune/options';
import { profileModel } from '../../../extension/core/prune/profile-model';
import { kernelProbe } from '../../../extension/core/distribute/work-item';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { compressModel } from '../../../extension/core/pipelines/compression/compress-model';
import { repairModel } from '../../../extension/core/pipelines/compression/repair-model';
import { defaultRepair } from '../../../extension/core/tensornet/repair/repair-settings';
import { profileSensitivity } from '../../../extension/core/tensornet/sensitivity/profile-sensitivity';
import { interruptCli, runCli } from '../cli/run-cli';
import { cloudsTable } from '../datadiet/toy-data';
import { makeRandomModel } from '../random-model';
import { temporaryFolder } from '../temporary-folder';
import { certificate, Valkey } from './valkey';

const { version } = packageJson;
const cli = join(import.meta.dirname, '../../../dist/cli.js');
const folder = temporaryFolder();
const password = 'secret';
const calibration = { file: 'random', sequences: 4, length: 16 };

describe('a queue', () => {
  let server: Valkey;
  let model: string;
  let smaller: string;
  let alone: LayerProfile;
  let worker: ChildProcess;

  const profile = async (
    name: string,
    engine?: Engine,
    context: Partial<JobContext<ProfileEvent>> = {},
  ): Promise<LayerProfile> =>
    profileModel(
      {
        model: await openModelFiles(model),
        calibration,
        settings: { ...defaultSettings, mode: 'exact', budget: { kind: 'count', count: 3 } },
        ...{ device: 'cpu', memoryBytes: 1 << 28, out: undefined, engine },
        journal: join(folder, `${name}.journal.jsonl`),
      },
      { bundledText: '', version },
      { ...unattended, ...context },
    );

  const connection = async (): Promise<QueueServer> =>
    connect(library, parseQueueAddress(server.url(`:${password}@`)), { allowOpen: false });

  /** A queue whose job begins when a worker has joined: this process would do all meanwhile. */
  const engine = (): Engine => {
    const queue = new QueueEngine(connection, version);
    return {
      memoryShare: queue.memoryShare,
      addWorkers: async (setup, pool, means) => {
        let tell: () => void = () => undefined;
        const joined = new Promise<void>((resolve) => (tell = resolve));
        const release = await queue.addWorkers(
          setup,
          {
            join: (one) => {
              pool.join(one);
              tell();
            },
            retire: (one) => {
              pool.retire(one);
            },
            leave: (one, why) => {
              pool.leave(one, why);
            },
          },
          means,
        );
        await joined;
        return release;
      },
    };
  };

  /** Waits until `count` workers are connected. */
  const workersThere = async (count: number): Promise<void> => {
    const { redis } = await connection();
    const registry = new Registry(redis, 'worker');
    while ((await registry.list()).length !== count) {
      await setTimeout(20);
    }
    redis.disconnect();
  };

  /** Numbers that a worker shows before it takes work. */
  const probe = async (): Promise<readonly number[]> => {
    const { inputs } = await loadModelInputs(
      ...([calibration, await openModel(model), '', defaultSettings.seed] as const),
    );
    const executor = new LayeredExecutor(await openModel(model), 'cpu', 1 << 28);
    try {
      return await kernelProbe(executor, inputs[0]);
    } finally {
      await executor.dispose();
    }
  };

  const expectSame = ({ rounds, candidates }: LayerProfile, expected = alone): void => {
    expect(rounds.map(({ removed }) => removed)).toEqual(
      expected.rounds.map(({ removed }) => removed),
    );
    rounds.forEach(({ distance }, i) => {
      expect(distance).toBeCloseTo(expected.rounds[i]?.distance ?? Number.NaN, 6);
    });
    candidates.forEach(({ distance }, i) => {
      expect(distance).toBeCloseTo(expected.candidates[i]?.distance ?? Number.NaN, 6);
    });
  };

  beforeAll(async () => {
    expect(existsSync(cli), 'run node scripts/build.mjs first').toBe(true);
    const data = join(folder, 'data');
    await mkdir(data);
    server = await Valkey.start(data, [
      ...['--requirepass', password],
      ...['--user', 'worker', 'on', '>other', '~espalier:*', '+@all'],
    ]);
    // A worker opens all files in its folder of models.
    const models = join(folder, 'models');
    await mkdir(models);
    model = join(models, 'random');
    await rename(await makeRandomModel({ seed: 21, blocks: 3 }), model);
    smaller = join(models, 'smaller');
    await compressModel(
      {
        model: await openModelFiles(model),
        choices: [0, 2].map((block) => ({
          ...{ tensor: `model.layers.${block}.mlp.up_proj.weight`, method: 'lowrank', setting: 3 },
        })),
        ...{ out: smaller, overwrite: false, device: 'cpu', memoryBytes: 1 << 28 },
      },
      unattended,
    );
    alone = await profile('alone');
    const tables = join(folder, 'tables');
    cloudsTable(join(tables, 'copied.csv'), 90);
    const given = [
      ...['--queue', server.url('worker@'), '--device', 'cpu'],
      ...['--models', models, '--data', tables],
    ];
    worker = spawn(process.execPath, [cli, 'worker', ...given], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, ESPALIER_QUEUE_LOGIN: server.url('worker:other@') },
    });
    let said = '';
    worker.stderr?.setEncoding('utf8').on('data', (text: string) => (said += text));
    await Promise.race([
      workersThere(1),
      once(worker, 'exit').then(() => {
        throw new Error(`The worker ended: ${said}`);
      }),
    ]);
  });

  beforeEach(async () => {
    // Results of the tests before would be taken for those of this one.
    const { redis } = await connection();
    const remaining = await redis.keys('espalier:result:*');
    await redis.del('espalier:none', ...remaining);
    redis.disconnect();
  });

  afterAll(async () => {
    worker.kill('SIGKILL');
    await server.stop();
  });

  it('equals the result of one process after the check of numbers', async () => {
    const reported: string[] = [];
    const found = await profile('shared', engine(), {
      inform: (message) => reported.push(inEnglish(message)),
    });
    expectSame(found);
    expect(reported.join('\n')).toMatch(/ joins: its results differ by at most \d\.\de[+-]\d+\./);
    const { code, stdout } = await runCli([
      ...['queue', '--json', '--queue', server.url(`:${password}@`)],
    ]);
    expect(code).toBe(0);
    const { workers: listed } = JSON.parse(stdout) as QueueState;
    expect(listed).toHaveLength(1);
    expect(listed[0]?.done).toBeGreaterThan(1);
  });

  it('shows workers and jobs with their pieces, rate and the time left', async () => {
    const { redis } = await connection();
    const registry = new Registry(redis, 'job');
    const job = { id: 'shown', kind: 'search', about: 'f'.repeat(64), seconds: 60 };
    const beat = async (): Promise<void> => registry.put({ ...job, done: 30, open: 10 });
    await beat();
    const beats = setInterval(() => void beat(), 500);
    const { stdout } = await runCli(['queue', '--queue', server.url(`:${password}@`)]);
    clearInterval(beats);
    await registry.remove(job.id);
    redis.disconnect();
    expect(stdout).toMatch(/^worker +device +models .* per minute\n.*\n.* cpu +2 .* waiting +\d/m);
    expect(stdout).toMatch(
      /^job +about +pieces +open +per minute +left\n.*\nsearch +f{12} +30 +10 +30\.0 +20 s$/m,
    );
  });

  it('equals the sensitivity of one process', async () => {
    const measure = async (name: string, shared?: Engine): Promise<readonly unknown[]> => {
      const { layers } = await profileSensitivity(
        {
          model: await openModelFiles(model),
          calibration: { file: 'random', sequences: 2, length: 12 },
          settings: {
            compressions: [{ method: 'int4', setting: 16 }],
            ...{ metric: 'js', roles: [], blocks: [], precision: 0, seed: 1 },
          },
          ...{ device: 'cpu', memoryBytes: 1 << 28, out: undefined, engine: shared },
          journal: join(folder, `${name}.journal.jsonl`),
        },
        { bundledText: '', version },
        unattended,
      );
      return layers;
    };
    expect(await measure('shared-layers', engine())).toEqual(await measure('layers'));
  });

  it('equals the repair of one process, and sends no path', async () => {
    const repair = async (name: string, shared?: Engine): Promise<object> => {
      const { slices, lossBefore, lossAfter } = await repairModel(
        {
          ...{ model: await openModelFiles(smaller), teacher: await openModelFiles(model) },
          ...{ text: { file: 'random', sequences: 5, length: 8 }, bundledText: '' },
          ...{
            settings: defaultRepair,
            epochs: 2,
            states: 'teacher',
            scope: 'sublayers',
            version,
          },
          ...{ out: join(folder, name), overwrite: false, engine: shared },
          ...{ device: 'cpu', memoryBytes: 1 << 28 },
        },
        unattended,
      );
      expect(slices.some(({ repaired }) => repaired)).toBe(true);
      return { slices, lossBefore, lossAfter };
    };
    expect(await repair('shared-repair', engine())).toEqual(await repair('repair'));
    const { redis } = await connection();
    const results = await redis.keys('espalier:result:*');
    const sent = await redis.mget(await redis.keys('espalier:setup:*'));
    redis.disconnect();
    expect(sent.some((text) => text?.includes('"teacher"'))).toBe(true);
    expect(sent.join('\n')).not.toContain(folder);
    // A result is that of a device.
    expect(results.length).toBeGreaterThan(0);
    expect(results.filter((key) => !/-(cpu|probe-[-\w]+)$/.test(key))).toEqual([]);
  });

  it('returns the same scores as one process, on a copy of the dataset', async () => {
    const data = cloudsTable(join(folder, 'clouds.csv'), 90);
    const score = async (name: string, more: Partial<JobContext>, shared?: Engine) => {
      const processes = (): never => {
        throw new Error('all is decided');
      };
      const { scoring, ...scores } = await scoreDataset(
        {
          ...{ data, options: {}, proxy: { model: 'mlp' }, training: defaultTraining },
          ...{ score: 'grand', runs: 3, epoch: 2, folder: join(folder, name) },
        },
        { ...unattended, ...more },
        { engine: shared, version, processes },
      );
      return { ...scores, interRunSpearman: scoring?.interRunSpearman };
    };
    let progress: readonly WorkerProgress[] = [];
    const share = (workers: typeof progress): void => {
      progress = workers;
    };
    const found = await score('shared-scores', { share }, engine());
    expect(found).toEqual(await score('scores', {}, localOnly));
    expect(progress.map(({ done }) => done > 0)).toEqual([true, true]);
  });

  it('survives a server that is started again', async () => {
    let restarted: Promise<void> | undefined;
    const found = await profile('restarted', engine(), {
      inform: (message) => {
        if (inEnglish(message).includes('joins')) {
          restarted = server.stop().then(async () => server.restart());
        }
      },
    });
    expectSame(found);
    await restarted;
    await workersThere(1);
  });

  it('keeps all results if the requesting process ends, and resumes', async () => {
    const out = join(folder, 'killed.layerprofile.json');
    const journal = join(folder, 'killed.layerprofile.journal.jsonl');
    const args = [
      ...['profile', model, '--out', out, '--remove', '5', '--search', 'exact'],
      ...['--calibration', 'random', '--sequences', '4', '--length', '16'],
    ];
    const shared = [...args, '--queue', server.url(`:${password}@`)];
    await interruptCli(shared, { signal: 'SIGKILL', file: journal, lines: 19 });
    expect(existsSync(out)).toBe(false);
    const { code, stdout } = await runCli([...shared, '--json']);
    expect(code).toBe(0);
    const resumed = JSON.parse(stdout) as LayerProfile;
    const { stdout: whole } = await runCli([...args, '--json']);
    expectSame(resumed, JSON.parse(whole) as LayerProfile);
  });

  it('does without a worker that is killed', async () => {
    const found = await profile('killed-worker', engine(), {
      inform: (message) => {
        if (inEnglish(message).includes('joins')) {
          worker.kill('SIGKILL');
        }
      },
    });
    expect(worker.killed).toBe(true);
    expectSame(found);
    await workersThere(0);
  });

  it("reports a work item that fails three times, with its worker's message", async () => {
    const script = join(folder, 'crashing.cjs');
    writeFileSync(
      script,
      `process.on('message', ({ task }) => {
        if (task.request === 'probe') process.send({ kind: 'result', result: ${JSON.stringify(await probe())} });
        else process.stderr.write('weights are mapped\\nno memory\\n', () => process.kill(process.pid, 'SIGKILL'));
      });`,
    );
    const cancellation = { isCancellationRequested: false };
    const served = serveQueue(
      await connection(),
      {
        ...{ script, models: new Map([[alone.model.fingerprint, model]]), data: new Map() },
        ...{ workers: 1, version },
        ...{ limits: { memoryShare: 1 }, scratch: folder },
      },
      cancellation,
      () => undefined,
    );
    await workersThere(1);
    // Its first process may start so slowly that this one would do the piece: time stands still for the dispatcher.
    vi.spyOn(performance, 'now').mockReturnValue(performance.now());
    try {
      await expect(profile('poisoned', engine())).rejects.toThrow(
        /A work item failed 3 times.*It ended with SIGKILL\. no memory\nweights are mapped\n/s,
      );
    } finally {
      vi.restoreAllMocks();
      cancellation.isCancellationRequested = true;
      await served;
    }
    await workersThere(0);
  });

  it('allows a worker to exit after its server stopped', async () => {
    const cancellation = { isCancellationRequested: false };
    const served = serveQueue(
      await connection(),
      {
        ...{ script: '', models: new Map(), data: new Map(), workers: 1, version },
        ...{ limits: { memoryShare: 1 }, scratch: folder },
      },
      cancellation,
      () => undefined,
    );
    await workersThere(1);
    await server.stop();
    cancellation.isCancellationRequested = true;
    await served;
    await server.restart();
  });

  it.each([
    [
      'a wrong password',
      ':wrong@',
      /127\.0\.0\.1:\d+ rejected the user or the password: WRONGPASS/,
    ],
    ['no password', '', /rejected the user or the password: NOAUTH/],
    [
      'an unknown user',
      'nobody:secret@',
      /nobody@127.*rejected the user or the password: WRONGPASS/,
    ],
  ])('refuses %s', async (_, who, reason) => {
    const { code, stderr } = await runCli(['queue', '--queue', server.url(who)]);
    expect(code).toBe(1);
    expect(stderr).toMatch(reason);
    expect(stderr).toMatch(/^error: --queue: /);
    expect(stderr).not.toContain('wrong');
  });

  it('is reached over TLS if its certificate is trusted', async () => {
    const address = server.secureUrl(`:${password}@`);
    const { stderr } = await runCli(['queue', '--queue', address]);
    expect(stderr).toMatch(
      /rediss:\/\/127\.0\.0\.1:\d+ cannot be reached: self-signed certificate/,
    );
    const trusting = spawn(process.execPath, [cli, 'queue', '--json', '--queue', address], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, NODE_EXTRA_CA_CERTS: certificate },
    });
    expect(JSON.parse(await text(trusting.stdout))).toHaveProperty('workers');
  });

  it('is refused if it is public and has no password', async () => {
    // Known to be no private address, and this machine all the same.
    const address = server.url().replace('127.0.0.1', '0.0.0.0');
    const { redis } = await connection();
    await redis.config('SET', 'requirepass', '');
    const { code, stderr } = await runCli(['queue', '--queue', address]);
    const allowed = await runCli(['queue', '--queue', address, '--allow-open']);
    await redis.config('SET', 'requirepass', password);
    redis.disconnect();
    expect([code, allowed.code]).toEqual([1, 0]);
    expect(stderr).toMatch(
      /^error: --queue: redis:\/\/0\.0\.0\.0:\d+ is open: anyone who can reach/,
    );
  });

  it('reports that no server answers', async () => {
    const { stderr } = await runCli(['queue', '--queue', 'redis://127.0.0.1:1']);
    expect(stderr).toMatch(/redis:\/\/127\.0\.0\.1:1 cannot be reached: .*ECONNREFUSED/);
  });
});

it('public addresses are distinguished from private ones', () => {
  const all = ['127.0.0.1', '10.1.2.3', '192.168.0.9', '172.20.0.1', '::1', 'fd00::1', 'fe80::1'];
  expect(all.filter(isPublic)).toEqual([]);
  expect(['8.8.8.8', '172.32.0.1', '2001:4860::8'].filter(isPublic)).toHaveLength(3);
});

it.each(['localhost:6379', 'http://localhost', 'redis://', 'redis://localhost/first'])(
  '%s is no address of a queue',
  (text) => {
    expect(() => parseQueueAddress(text)).toFailWith({
      code: 'queue-address-invalid',
      field: 'queue',
    });
  },
);
