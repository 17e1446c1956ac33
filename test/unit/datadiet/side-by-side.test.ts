import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { runDiet } from '../../../extension/core/datadiet/subsets/diet-experiment';
import type { DietRequest } from '../../../extension/core/datadiet/subsets/diet-experiment';
import { scoreDataset } from '../../../extension/core/datadiet/scores/score-dataset';
import type { ScoreRequest } from '../../../extension/core/datadiet/scores/scoring-job';
import { runSideBySide } from '../../../extension/core/datadiet/training/side-by-side';
import type { Processes } from '../../../extension/core/datadiet/training/side-by-side';
import { trainModels } from '../../../extension/core/datadiet/training/train-models';
import type { TrainRequest } from '../../../extension/core/datadiet/training/train-request';
import { defaultTraining } from '../../../extension/core/datadiet/training/training-settings';
import { runInChild } from '../../../extension/core/jobs/child-task';
import { CancelledError, unattended } from '../../../extension/core/jobs/job';
import type { StageProgress } from '../../../extension/core/jobs/job';
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
  script = await buildChild('trainer');
});

/** Two processes at once, of which `onStart` hears. */
const two = (onStart: (started: number) => void = () => undefined): Processes => {
  let started = 0;
  return {
    count: 2,
    run: async (task, job) => {
      onStart(++started);
      return runInChild({ script }, task, job);
    },
  };
};

const trainRequest = (out: string): TrainRequest => ({
  ...{ data: clouds, options, proxy, training },
  ...{ epochs: 4, seeds: 3, out: join(folder, out) },
});

const weightsOf = (out: string, seed: number): Buffer =>
  readFileSync(join(folder, out, `seed-${seed}.safetensors`));

/** A script that stands in for the trainer: its process is lost as soon as a task comes. */
function crashing(): string {
  const path = join(folder, 'crashing.cjs');
  writeFileSync(path, "process.on('message', () => process.kill(process.pid, 'SIGKILL'));\n");
  return path;
}

describe('seeds in processes of their own', () => {
  it('train to the same bits as one after the other', async () => {
    const alone = await trainModels(trainRequest('alone'), unattended);
    let processes = 0;
    const stages = new Set<string>();
    const job = {
      ...unattended,
      progress: ({ stage }: StageProgress) => stages.add(inEnglish(stage)),
    };
    const together = await trainModels(
      trainRequest('together'),
      job,
      two((started) => {
        processes = started;
      }),
    );
    expect(processes).toBe(3);
    expect([...stages]).toContain('Training mlp in 2 processes');
    expect(together.runs).toEqual(alone.runs);
    for (const seed of [0, 1, 2]) {
      expect(weightsOf('together', seed).equals(weightsOf('alone', seed))).toBe(true);
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
    const many = await runDiet(diet('diet-together'), unattended, two());
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
      expect(weightsOf('stopped', seed).equals(weightsOf('unbroken', seed))).toBe(true);
    }
  });

  it('count what earlier tries have left from the first step told', async () => {
    const request = trainRequest('counted');
    const checkpoints = [0, 1, 2].map((seed) => join(folder, `counted-${seed}.safetensors`));
    const plateau = { best: null, bad: 0, cooling: 0, factor: 1 };
    await writeCheckpoint(checkpoints[0] ?? '', {}, { step: 7, batches: 0, plateau });
    writeFileSync(checkpoints[1] ?? '', 'half-written');
    const told: number[] = [];
    const job = { ...unattended, progress: ({ done }: StageProgress) => told.push(done) };
    const seeds = {
      tasks: [0, 1, 2].map((seed) => ({ kind: 'train', request, seed }) as const),
      ...{ names: [say`0`, say`1`, say`2`], steps: 10, stage: say`Training`, checkpoints },
    };
    const run: Processes['run'] = async (task, { progress }) => {
      const isFirst = 'seed' in task && task.seed === 0;
      await setTimeout(isFirst ? 50 : 0);
      progress({ stage: say``, done: isFirst ? 8 : 1, total: 10, unit: 'steps' });
    };
    await runSideBySide(seeds, { run }, 2, job);
    expect(told).toEqual([8, 9, 10]);
  });

  it('go on in the first process where one is lost, which is said', async () => {
    const warnings: string[] = [];
    const job = { ...unattended, warn: (message: Message) => warnings.push(inEnglish(message)) };
    const lost = crashing();
    let started = 0;
    const result = await trainModels(trainRequest('lost'), job, {
      count: 2,
      run: async (task, child) =>
        runInChild({ script: started++ === 1 ? lost : script }, task, child),
    });
    expect(warnings.join()).toMatch(/Seed 1: its process was lost.*ended with SIGKILL/);
    expect(result.runs.map(({ seed }) => seed)).toEqual([0, 1, 2]);
  });

  it('stop all at an error of one, which names its seed', async () => {
    const request = { ...trainRequest('diverging'), training: { ...training, learningRate: 1e30 } };
    await expect(trainModels(request, unattended, two())).rejects.toThrow(
      /seed \d, epoch \d: The (loss is|weights are)/,
    );
  });

  it('are not started for trainings that take less time than starting', async () => {
    const run = async (): Promise<never> => Promise.reject(new Error('a process was started'));
    const { runs } = await trainModels(trainRequest('short'), unattended, { run });
    expect(runs).toHaveLength(3);
  });
});

it('a child that cannot be started is lost', async () => {
  const job = { cancellation: unattended.cancellation, progress: () => undefined };
  await expect(runInChild({ script: join(folder, 'none.js') }, {}, job)).rejects.toThrow(
    /ended with exit code 1/,
  );
  expect(process.exitCode).toBeUndefined();
});
