import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { InferenceSession } from 'onnxruntime-node';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { LocalEngine } from '../../../extension/core/distribute/local-engine';
import { CancelledError, unattended } from '../../../extension/core/jobs/job';
import { costsFolder } from '../../../extension/core/jobs/user-cache';
import { SessionPool } from '../../../extension/core/runtime/session-pool';
import { ModelCache } from '../../../extension/core/models/model-cache';
import { asSetting, buildRequest } from '../../../extension/core/operations/build-request';
import type { AnyOperation, Environment } from '../../../extension/core/operations/operation';
import { operations } from '../../../extension/core/operations/operations';
import type { OperationId } from '../../../extension/core/operations/operations';
import { runOperation } from '../../../extension/core/operations/run-operation';
import { changedModel, kinds, makeSources } from '../../reliability/kinds';
import { InProcessEngine } from '../distribute/in-process-engine';
import { writeFirstBlocks } from '../first-blocks';
import { fixture } from '../fixtures';
import { runsAllCases } from '../sample';
import { temporaryFolder } from '../temporary-folder';

type Given = Readonly<Record<string, unknown>>;

const folder = temporaryFolder();
const sources = makeSources(
  join(folder, 'sources'),
  await writeFirstBlocks(fixture('llama-gqa-untied'), 2, folder),
);
const { model, changed, text, data, plan } = sources;
const tasks = join(import.meta.dirname, '../../fixtures/tasks');
const task = join(folder, 'choices.jsonl');
const table = join(folder, 'model.sensitivity.json');
const scores = join(folder, 'clouds.scores.json');
const models = new ModelCache({ capacity: 1 });
const environment: Environment = {
  ...{ samples: join(import.meta.dirname, '../../../samples'), version: '0' },
  ...{ costsFolder: costsFolder(), bundles: '' },
  open: async (path) => models.open(path),
};

const calibrated = { calibration: text, sequences: 2, length: 16, device: 'cpu' } as const;
const training = { data, label: 'label', model: 'mlp', batch: 16 } as const;
const judged = { heldOut: text, require: ['size<0%'], device: 'cpu' } as const;

/** A small job of each operation that runs models, from its output folder. */
const jobs: Partial<Record<OperationId, (out: string) => Given>> = {
  profile: (out) => ({ model, out: join(out, 'a.layerprofile.json'), all: true, ...calibrated }),
  plan: (out) => ({ model, out: join(out, 'a.plan.json'), remove: 1, ...calibrated }),
  apply: (out) => ({ plan, out: join(out, 'model'), ...judged }),
  prune: (out) => ({ model, out: join(out, 'model'), remove: 1, ...calibrated, ...judged }),
  compress: (out) => ({ ...kinds.compress.given(sources, out), ...judged }),
  sensitivity: (out) => ({
    ...{ model, out: join(out, 'a.sensitivity.json'), methods: ['int8', 'lowrank'] },
    ...{ roles: ['up', 'query'], workers: 1, ...calibrated },
  }),
  'plan-compression': (out) => kinds.budget.given(sources, out),
  patch: (out) => ({
    ...{ model, sublayer: 'block.0.feedforward', out: join(out, 'model'), graphs: 2 },
    ...{ programs: 200, epochs: 1, anyway: true, ...calibrated, ...judged, sequences: 4 },
  }),
  repair: (out) => ({ ...kinds.repair.given(sources, out), sequences: 4, epochs: 1, ...judged }),
  evaluate: (out) => ({
    ...{ model: changed, against: model, task, out: join(out, 'a.evaluation.json') },
    device: 'cpu',
  }),
  latency: () => ({ model, context: 16, tokens: 2, repeats: 1, device: 'cpu' }),
  generate: () => ({ model, against: changed, prompt: 'the quick', tokens: 4, device: 'cpu' }),
  synthesize: (out) => ({
    ...{ out: join(out, 'modules'), iterations: 1, population: 2, programs: 6000, epochs: 1 },
    ...{ train: 8, validation: 8, test: 8, seed: 3, data: 'balanced', pictures: 2 },
  }),
  'score-text': (out) => ({
    ...{ model, text, length: 16, windows: 4, out: join(out, 'a.textscores.json'), device: 'cpu' },
  }),
  train: (out) => ({ ...training, out: join(out, 'runs'), epochs: 1, seeds: 2 }),
  'score-data': (out) => ({
    ...{ ...training, out: join(out, 'a.scores.json'), score: 'grand', runs: 2, epoch: 1 },
    embedding: 'pca',
  }),
  'data-diet': (out) => ({
    ...{ ...training, out: join(out, 'a.datadiet.json'), runs: 1, epochs: 1, seeds: 1 },
    ...{ test: data, keep: [0.5] },
  }),
  'study-groups': (out) => ({
    ...{
      ...training,
      scores,
      out: join(out, 'a.json'),
      epochs: 2,
      spawn: [1],
      groups: 2,
      groupSize: 4,
    },
  }),
  convert: (out) => ({ model, out: join(out, 'model'), format: 'onnx', ...judged }),
  fit: (out) => ({
    ...{ model, size: '70%', for: 'onnxruntime', out: join(out, 'model'), text },
    ...calibrated,
  }),
  imatrix: (out) => ({ model, out: join(out, 'a.gguf'), ...calibrated }),
  drift: () => ({ plan, text, device: 'cpu' }),
  'try-family': (out) => {
    const unknown = join(out, 'unknown');
    cpSync(join(environment.samples, 'espalier-sample'), unknown, { recursive: true });
    const config = JSON.parse(readFileSync(join(unknown, 'config.json'), 'utf8')) as object;
    const other = { ...config, model_type: 'unheard' };
    writeFileSync(join(unknown, 'config.json'), JSON.stringify(other));
    return { model: unknown, family: 'llama', device: 'cpu' };
  },
  pareto: (out) => ({
    sensitivity: table,
    points: 2,
    out: join(out, 'front'),
    task,
    device: 'cpu',
  }),
  'score-experts': (out) => ({
    ...{
      model: fixture('mixtral'),
      out: join(out, 'a.plan.json'),
      ratio: 0.5,
      ...calibrated,
      calibration: 'random',
    },
  }),
  report: (out) => ({
    ...{ about: changed, against: model, quality: true, out: join(out, 'a.md'), device: 'cpu' },
  }),
};

/** Jobs that `npm test` stops in the middle; `npm run test:all` stops each. */
const stopped: readonly OperationId[] = ['profile', 'compress', 'evaluate', 'repair', 'score-data'];

/** Why the others run none, or none of their own. */
const others: Partial<Record<OperationId, string>> = {
  inspect: 'reads headers',
  tensors: 'reads weights',
  compare: 'reads weights',
  'symbolic evaluate': 'makes a graph',
  'symbolic enumerate': 'lists programs',
  'select-data': 'reads scores',
  'export-data': 'copies examples',
  'convert-scores': 'copies numbers',
  devices: 'takes long to measure costs; begun below',
  demo: 'runs profile, apply and evaluate',
  queue: 'reads a queue',
  worker: 'runs what several workers run below',
  'install-cuda': 'unpacks an archive',
  'install-llama': 'downloads and unpacks an archive',
};

/** Sessions that a job has created. */
class Sessions {
  public readonly live = new Set<InferenceSession>();
  public created = 0;
  public runs = 0;
  /** The most at a time. */
  public most = 0;
  public releasedTwice = 0;

  /**
   * Watches all sessions from now on.
   * @param onRun called before each run with the number of runs before it
   */
  public constructor(onRun: (runs: number) => void = () => undefined) {
    const create = InferenceSession.create.bind(InferenceSession) as (
      ...args: readonly unknown[]
    ) => Promise<InferenceSession>;
    vi.spyOn(InferenceSession, 'create').mockImplementation(async (...args) => {
      const session = await create(...args);
      const run = session.run.bind(session) as (...given: readonly unknown[]) => Promise<never>;
      const release = session.release.bind(session);
      this.created++;
      this.live.add(session);
      this.most = Math.max(this.most, this.live.size);
      session.run = async (...given: readonly unknown[]) => {
        onRun(this.runs++);
        return run(...given);
      };
      session.release = async () => {
        this.releasedTwice += this.live.delete(session) ? 0 : 1;
        await release();
      };
      return session;
    });
  }

  /** Fails for sessions that are left. */
  public expectReleased(): void {
    expect({ left: this.live.size, releasedTwice: this.releasedTwice }).toEqual({
      left: 0,
      releasedTwice: 0,
    });
  }
}

let count = 0;

async function run(
  id: OperationId,
  given: Given,
  cancellation = unattended.cancellation,
): Promise<unknown> {
  const operation = operations.find((one) => one.id === id) as unknown as AnyOperation;
  const request = buildRequest(operation, given, { name: asSetting(operation.fields) });
  return runOperation(operation, request, { ...unattended, cancellation, environment });
}

/** An output folder that is empty. */
function freshFolder(): string {
  const out = join(folder, `out-${count++}`);
  mkdirSync(out);
  return out;
}

beforeAll(async () => {
  const examples = readFileSync(join(tasks, 'choices.jsonl'), 'utf8').split('\n');
  writeFileSync(task, examples.slice(0, 2).join('\n'));
  await run(changedModel.operation, changedModel.given(sources, ''));
  await run('sensitivity', { ...jobs.sensitivity?.(folder), out: table });
  await run('score-data', { ...training, out: scores, runs: 1, epoch: 1 });
});

afterEach(() => {
  vi.restoreAllMocks();
});

it('covers for each operation if it runs models', () => {
  const ids: readonly string[] = operations.map(({ id }) => id);
  expect([...Object.keys(jobs), ...Object.keys(others)].sort()).toEqual([...ids].sort());
});

describe.each(Object.entries(jobs) as [OperationId, (out: string) => Given][])(
  '%s',
  (id, given) => {
    const isStopped = runsAllCases || stopped.includes(id);
    let runs = 0;

    it('releases each session that it creates', async () => {
      const sessions = new Sessions();
      await run(id, given(freshFolder()));
      sessions.expectReleased();
      expect(sessions.created).toBeGreaterThan(0);
      ({ runs } = sessions);
    });

    if (!isStopped) return;
    it('releases them when it is canceled', async () => {
      const cancellation = { isCancellationRequested: false };
      const sessions = new Sessions((before) => {
        cancellation.isCancellationRequested ||= before >= runs / 4;
      });
      await run(id, given(freshFolder()), cancellation).catch((error: unknown) => {
        expect(error).toBeInstanceOf(CancelledError);
      });
      sessions.expectReleased();
    });

    it('releases them when a run fails', async () => {
      const sessions = new Sessions((before) => {
        if (before >= runs / 4) throw new Error('std::bad_alloc');
      });
      await expect(run(id, given(freshFolder()))).rejects.toFailWith({ code: 'memory-exhausted' });
      sessions.expectReleased();
    });
  },
);

const streamed = ['compress', 'sensitivity'] as const;

it.each(['profile', 'evaluate', ...(runsAllCases ? streamed : [])] as const)(
  '%s releases sessions that the memory setting leaves no room to keep, each after its use',
  async (id) => {
    // As a pool does with a session that does not fit.
    vi.spyOn(SessionPool.prototype, 'use').mockImplementation(async function (
      this: SessionPool,
      recipe,
      use,
    ) {
      return this.once(recipe, use);
    });
    const sessions = new Sessions();
    await run(id, jobs[id]?.(freshFolder()) ?? {});
    sessions.expectReleased();
    expect(sessions.created).toBeGreaterThan(50);
    expect(sessions.most).toBeLessThanOrEqual(2);
  },
);

const shared: [OperationId, Given][] = [
  ['sensitivity', {}],
  ['repair', { states: 'teacher' }],
  ['synthesize', {}],
];

it.each<[OperationId, Given]>([['profile', {}], ['train', {}], ...(runsAllCases ? shared : [])])(
  '%s on several workers releases their sessions',
  async (id, more) => {
    const engine = new InProcessEngine(3);
    vi.spyOn(LocalEngine.prototype, 'addWorkers').mockImplementation(async (setup, crew) =>
      engine.addWorkers(setup, crew),
    );
    const sessions = new Sessions();
    await run(id, { ...jobs[id]?.(freshFolder()), ...more, workers: 3 });
    expect(engine.begun).toHaveLength(2);
    sessions.expectReleased();
  },
);

it('devices releases its session when a run fails', async () => {
  const sessions = new Sessions((before) => {
    if (before >= 3) throw new Error('std::bad_alloc');
  });
  await expect(run('devices', { costs: true, device: 'cpu' })).rejects.toFailWith({
    code: 'memory-exhausted',
  });
  sessions.expectReleased();
});
