import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { isDeepStrictEqual } from 'node:util';
import * as v from 'valibot';
import { beforeAll, describe, expect, it } from 'vitest';
import { runDiet } from '../../../extension/core/datadiet/subsets/diet-experiment';
import type { DietRequest } from '../../../extension/core/datadiet/subsets/diet-experiment';
import { scoreDataset } from '../../../extension/core/datadiet/scores/score-dataset';
import type { ScoreRequest } from '../../../extension/core/datadiet/scores/run-summary';
import { shareSeeds } from '../../../extension/core/datadiet/training/side-by-side';
import type { Seeds, SeedSharing } from '../../../extension/core/datadiet/training/side-by-side';
import { trainModels } from '../../../extension/core/datadiet/training/train-models';
import type { TrainRequest } from '../../../extension/core/datadiet/training/training-settings';
import { defaultTraining } from '../../../extension/core/datadiet/training/training-settings';
import { LocalEngine } from '../../../extension/core/distribute/local-engine';
import type { Engine } from '../../../extension/core/distribute/work-item';
import { localOnly } from '../../../extension/core/distribute/with-workers';
import { Child } from '../../../extension/core/jobs/child-task';
import { CancelledError, unattended } from '../../../extension/core/jobs/job';
import type { StageProgress, WorkerProgress } from '../../../extension/core/jobs/job';
import { writeCheckpoint } from '../../../extension/core/training/checkpoint';
import { buildChild } from '../build-child';
import { temporaryFolder } from '../temporary-folder';
import { cloudsTable, toyPath } from './toy-data';
import { inEnglish, say } from '../../../extension/core/message';
import type { Message } from '../../../extension/core/message';

const folder = temporaryFolder();
const clouds = cloudsTable(toyPath(folder, 'clouds.csv'), 90);
const training = { ...defaultTraining, batchSize: 16 };
const options = {};
const proxy = { model: 'mlp' };
let script = '';

beforeAll(async () => {
  script = await buildChild('pieces');
});

const sharing = (engine: Engine): SeedSharing => ({
  ...{ engine, version: 'test' },
  processes: () => {
    throw new Error('nothing is left to decide');
  },
});
/** This process and another. */
const two = (): SeedSharing => sharing(new LocalEngine(script, 2));

const trainRequest = (out: string): TrainRequest => ({
  ...{ data: clouds, options, proxy, training },
  ...{ epochs: 4, seeds: 3, out: join(folder, out) },
});

const readWeights = (out: string, seed: number): Buffer =>
  readFileSync(join(folder, out, `seed-${seed}.safetensors`));

/** A script whose first process is lost as soon as a task comes. */
function crashingOnce(): string {
  const path = join(folder, 'crashing.cjs');
  const seen = JSON.stringify(join(folder, 'crashed'));
  writeFileSync(
    path,
    `const { existsSync, writeFileSync } = require('node:fs');
    if (existsSync(${seen})) require(${JSON.stringify(script)});
    else process.on('message', () => {
      writeFileSync(${seen}, '');
      process.kill(process.pid, 'SIGKILL');
    });`,
  );
  return path;
}

describe('seeds in separate processes', () => {
  it('train to the same bits as one after the other', async () => {
    // Enough that the other process gets some, even if it starts slowly.
    const seeds = 10;
    const request = (out: string): TrainRequest => ({ ...trainRequest(out), epochs: 20, seeds });
    const alone = await trainModels(request('alone'), unattended);
    let progress: readonly WorkerProgress[] = [];
    const stages = new Set<string>();
    const job = {
      ...unattended,
      progress: ({ stage }: StageProgress) => stages.add(inEnglish(stage)),
      share: (workers: typeof progress) => (progress = workers),
    };
    const together = await trainModels(request('together'), job, two());
    expect(progress.map(({ name }) => inEnglish(name))).toEqual(['This process', 'Process 2']);
    expect(progress.reduce((sum, { done }) => sum + done, 0)).toBe(seeds);
    expect([...stages]).toContain('Training mlp, 2 at once');
    expect(together.runs).toEqual(alone.runs);
    for (let seed = 0; seed < seeds; seed++) {
      expect(readWeights('together', seed).equals(readWeights('alone', seed))).toBe(true);
    }
  });

  it('score and choose as one after the other', async () => {
    const request = (name: string): ScoreRequest => ({
      ...{ data: clouds, options, proxy, training },
      ...{ score: 'grand', runs: 2, epoch: 2, folder: join(folder, name) },
    });
    const withoutTime = { scoring: expect.anything() as unknown };
    const alone = await scoreDataset(request('scores-alone'), unattended);
    const together = await scoreDataset(request('scores-together'), unattended, two());
    expect({ ...together, ...withoutTime }).toEqual({ ...alone, ...withoutTime });

    const diet = (name: string): DietRequest => ({
      ...{ data: clouds, options, proxy, training },
      scores: [{ kind: 'el2n', epoch: 1 }],
      ...{ runs: 2, keep: [0.5], policies: ['max', 'window'], offsets: [0, 0.1], balanced: true },
      ...{ epochs: 2, seeds: 2, iso: 'steps', noise: { rate: 0.1, seed: 0 } },
      folder: join(folder, name),
    });
    const one = await runDiet(diet('diet-alone'), unattended);
    const hired: string[] = [];
    const engine = new LocalEngine(script, 2);
    const addWorkers: Engine['addWorkers'] = async (setup, pool) => {
      hired.push(setup.key);
      return engine.addWorkers(setup, pool);
    };
    const { threads, memoryShare } = engine;
    const counting = sharing({ threads, memoryShare, addWorkers });
    const many = await runDiet(diet('diet-together'), unattended, counting);
    // For the scores, and once for all rows.
    expect(hired).toHaveLength(2);
    const accuracies = (rows: typeof one.rows) => rows.map((row) => row.accuracies);
    expect(accuracies(many.rows)).toEqual(accuracies(one.rows));
    expect(many.sweeps.map(({ validated }) => validated)).toEqual(
      one.sweeps.map(({ validated }) => validated),
    );
  });

  it('are stopped by a cancellation and go on, bit for bit', async () => {
    const request = trainRequest('stopped');
    const cancellation = { isCancellationRequested: false };
    const progress = (): void => {
      cancellation.isCancellationRequested = true;
    };
    const stopped = trainModels(request, { ...unattended, cancellation, progress }, two());
    await expect(stopped).rejects.toBeInstanceOf(CancelledError);
    expect(existsSync(join(request.out, 'seed-2.json'))).toBe(false);
    await trainModels(request, unattended, two());
    await trainModels(trainRequest('unbroken'), unattended);
    for (const seed of [0, 1, 2]) {
      expect(readWeights('stopped', seed).equals(readWeights('unbroken', seed))).toBe(true);
    }
  });

  it('count the results of earlier attempts from the first step on', async () => {
    const checkpoints = [0, 1, 2].map((seed) => join(folder, `counted-${seed}.safetensors`));
    const plateau = { best: null, bad: 0, cooling: 0, factor: 1 };
    await writeCheckpoint(checkpoints[0] ?? '', {}, { step: 7, batches: 0, plateau });
    writeFileSync(checkpoints[1] ?? '', 'half-written');
    const reported: number[] = [];
    const job = { ...unattended, progress: ({ done }: StageProgress) => reported.push(done) };
    const seeds: Seeds<unknown> = {
      setup: { kind: 'seeds', key: 'counted', files: {}, data: undefined },
      pieces: checkpoints.map((checkpoint, seed) => ({
        request: { kind: 'seed', seed },
        checkpoint,
      })),
      ...{ result: v.unknown(), steps: 10, stage: say`Training` },
      home: {
        do: async (request, { progress }) => {
          const done = isDeepStrictEqual(request, { kind: 'seed', seed: 0 }) ? 8 : 1;
          progress({ stage: say``, done, total: 10, unit: 'steps' });
          return Promise.resolve();
        },
        probe: async () => Promise.resolve([]),
      },
      onResult: async () => Promise.resolve(),
    };
    await shareSeeds(seeds, localOnly, job);
    expect(reported).toEqual([8, 9, 11, 12, 21, 30]);
  });

  it('are trained again after a process is lost, with a warning', async () => {
    const warnings: string[] = [];
    const job = { ...unattended, warn: (message: Message) => warnings.push(inEnglish(message)) };
    const lossy = sharing(new LocalEngine(crashingOnce(), 2));
    const result = await trainModels(trainRequest('lost'), job, lossy);
    expect(warnings.join()).toMatch(/Process 2 failed to finish a work.*ended with SIGKILL/);
    expect(result.runs.map(({ seed }) => seed)).toEqual([0, 1, 2]);
  });

  it('stop all at an error of one, which names its seed', async () => {
    const request = { ...trainRequest('diverging'), training: { ...training, learningRate: 1e30 } };
    await expect(trainModels(request, unattended, two())).rejects.toThrow(
      /seed \d, epoch \d: (Training diverged: the loss is|The weights are)/,
    );
  });

  it('are not started for trainings that are shorter than the start', async () => {
    const { engine, ...undecided } = two();
    const { runs } = await trainModels(trainRequest('short'), unattended, undecided);
    expect(engine).toBeDefined();
    expect(runs).toHaveLength(3);
  });
});

it('a child that cannot be started is lost', async () => {
  const job = { cancellation: unattended.cancellation, progress: () => undefined };
  await expect(new Child({ script: join(folder, 'none.js') }).run({}, job)).rejects.toThrow(
    /ended with exit code 1/,
  );
  expect(process.exitCode).toBeUndefined();
});
