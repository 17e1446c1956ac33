import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openDataset } from '../../../extension/core/data/datasets/open-dataset';
import { allExamples } from '../../../extension/core/datadiet/scores/predictions';
import { splitsFingerprint, openSplits } from '../../../extension/core/datadiet/subsets/selection';
import { openProxy } from '../../../extension/core/datadiet/training/proxy-model';
import { openSeedRunner } from '../../../extension/core/datadiet/training/seed-runner';
import { seedSetup } from '../../../extension/core/datadiet/training/seed-setup';
import { trainModels } from '../../../extension/core/datadiet/training/train-models';
import type { TrainRequest } from '../../../extension/core/datadiet/training/training-settings';
import { stepsPerEpoch, trainRun } from '../../../extension/core/datadiet/training/training-run';
import { defaultTraining } from '../../../extension/core/datadiet/training/training-settings';
import { CancelledError, unattended } from '../../../extension/core/jobs/job';
import type { StageProgress } from '../../../extension/core/jobs/job';
import { trainingFixture } from '../training/golden';
import { temporaryFolder } from '../temporary-folder';
import { cloudsTable, halvesArchive, textLines, toyPath } from './toy-data';
import { inEnglish } from '../../../extension/core/message';
import type { Message } from '../../../extension/core/message';

const folder = temporaryFolder();
const clouds = cloudsTable(toyPath(folder, 'clouds.csv'), 90);
const halves = halvesArchive(toyPath(folder, 'halves.npz'), 40);
const texts = textLines(toyPath(folder, 'texts.jsonl'), 80);
const sample = join(import.meta.dirname, '../../../samples/espalier-sample');

const request = (data: string, out: string, changes: Partial<TrainRequest> = {}): TrainRequest => ({
  data,
  options: {},
  proxy: { model: 'mlp', defaultTokenizer: sample },
  epochs: 4,
  seeds: 1,
  training: { ...defaultTraining, batchSize: 16 },
  out: join(folder, out),
  ...changes,
});

/** Asks a job to stop once it has come to `done` steps. */
function stopAt(done: number) {
  const cancellation = { isCancellationRequested: false };
  const progress = (progress: StageProgress): void => {
    cancellation.isCancellationRequested ||= progress.done >= done;
  };
  return { ...unattended, cancellation, progress };
}

describe('training from several seeds', () => {
  it.each([
    ['mlp', clouds, 4],
    ['mlp', halves, 4],
    ['mlp', texts, 20],
    ['cnn', halves, 4],
    ['resnet', halves, 4],
  ] as const)('%s learns %s', async (model, data, epochs) => {
    const proxy = { model, defaultTokenizer: sample };
    const out = `${model}-${basename(data)}`;
    const { runs, secondsPerStep } = await trainModels(
      request(data, out, { proxy, epochs }),
      unattended,
    );
    expect(runs).toHaveLength(1);
    expect(runs[0]?.trainAccuracy).toBeGreaterThan(0.9);
    expect(runs[0]?.testAccuracy).toBeGreaterThan(0.9);
    expect(secondsPerStep).toBeGreaterThan(0);
  });

  it('holds out examples if there is no test set, and says so', async () => {
    const warnings: string[] = [];
    const job = { ...unattended, warn: (message: Message) => warnings.push(inEnglish(message)) };
    const { runs } = await trainModels(request(clouds, 'held', { epochs: 1 }), job);
    expect(warnings.join()).toMatch(/no test part, so 18 of 90 examples are held out/);
    expect(runs[0]?.steps).toBe(Math.ceil(72 / 16));
  });

  it('resumes bit for bit, without training finished models again', async () => {
    const whole = await trainModels(request(clouds, 'whole', { seeds: 2 }), unattended);
    const perSeed = whole.runs[0]?.steps ?? 0;
    const again = request(clouds, 'stopped', { seeds: 2 });
    await expect(trainModels(again, stopAt(perSeed + 7))).rejects.toBeInstanceOf(CancelledError);
    expect(existsSync(join(again.out, 'seed-0.json'))).toBe(true);
    expect(existsSync(join(again.out, 'seed-1.json'))).toBe(false);
    let made = 0;
    const counting = { ...unattended, progress: () => made++ };
    const resumed = await trainModels(again, counting);
    expect(resumed.runs).toEqual(whole.runs);
    // One epoch of 5 steps of the second seed was saved.
    expect(made).toBe(perSeed - 5);
    for (const seed of [0, 1]) {
      const weights = (out: string): Buffer =>
        readFileSync(join(folder, out, `seed-${seed}.safetensors`));
      expect(weights('stopped').equals(weights('whole'))).toBe(true);
    }
    // More seeds add to those that are there; another training does not.
    expect((await trainModels({ ...again, seeds: 3 }, unattended)).runs).toHaveLength(3);
    await expect(trainModels({ ...again, epochs: 5 }, unattended)).rejects.toFailWith({
      code: 'folder-other-training',
      file: 'stopped',
    });
  });

  it('stops at a non-finite loss, names the step, and keeps the last good checkpoint', async () => {
    const out = 'diverged';
    const good = request(clouds, out, { epochs: 8 });
    await expect(trainModels(good, stopAt(11))).rejects.toBeInstanceOf(CancelledError);
    const file = join(good.out, 'seed-0.safetensors');
    const savedState = readFileSync(file);
    // The same folder goes on with a rate at which the loss cannot stay finite.
    const training = { ...good.training, learningRate: 1e30 };
    const identity = join(good.out, 'training.json');
    writeFileSync(identity, readFileSync(identity, 'utf8').replace('0.05', '1e+30'));
    await expect(trainModels({ ...good, training }, unattended)).rejects.toFailWith({
      code: 'loss-not-finite',
      field: 'seed 0, epoch 3',
      remedy: /The weights after epoch 2 are saved in .*seed-0\.safetensors/,
    });
    expect(readFileSync(file).equals(savedState)).toBe(true);
  });

  it('trains an ONNX file from its own weights', async () => {
    const data = halvesArchive(toyPath(folder, 'fitting.npz'), 40, 12);
    const options = { classNames: ['left', 'right', 'up', 'down', 'none'] };
    const proxy = { model: trainingFixture('cnn.onnx') };
    const changes = { options, proxy, seeds: 2, epochs: 6 };
    const { runs } = await trainModels(request(data, 'onnx', changes), unattended);
    for (const { testAccuracy } of runs) {
      expect(testAccuracy).toBeGreaterThan(0.9);
    }
  });

  it("rejects models that don't suit the dataset", async () => {
    const path = trainingFixture('cnn.onnx');
    const set = await openDataset(halves);
    await expect(openProxy({ model: path }, set)).rejects.toFailWith({
      code: 'classifier-shape-mismatch',
      file: 'cnn.onnx',
    });
    await expect(openProxy({ model: 'vgg' }, set)).rejects.toFailWith({
      code: 'proxy-unknown',
      field: 'vgg',
    });
    await expect(openProxy({ model: 'cnn' }, await openDataset(clouds))).rejects.toFailWith({
      code: 'proxy-for-images-only',
    });
    await expect(openProxy({ model: 'resnet' }, await openDataset(texts))).rejects.toFailWith({
      code: 'proxy-not-for-texts',
    });
    const numbers = await openDataset(clouds);
    await expect(openProxy({ model: 'mlp', tokenizer: sample }, numbers)).rejects.toFailWith({
      code: 'flag-without-effect',
      field: 'tokenizer',
    });
    await expect(openProxy({ model: 'mlp', maxTokens: 8 }, numbers)).rejects.toFailWith({
      code: 'flag-without-effect',
      field: 'maxTokens',
    });
    await expect(openProxy({ model: 'mlp' }, await openDataset(texts))).rejects.toFailWith({
      code: 'tokenizer-not-specified',
      field: 'tokenizer',
    });
  });

  it('never writes into a folder with other content', async () => {
    const out = join(folder, 'toy');
    await expect(trainModels({ ...request(clouds, ''), out }, unattended)).rejects.toFailWith({
      code: 'folder-foreign',
      file: 'toy',
    });
  });

  it('rejects a dataset of one class', async () => {
    const path = join(folder, 'one.csv');
    writeFileSync(path, 'x,label\n1,a\n2,a\n');
    await expect(trainModels(request(path, 'one'), unattended)).rejects.toFailWith({
      code: 'classes-too-few',
    });
  });
});

describe('a seed that somebody else trains as well', () => {
  it('is not overwritten by a process that is further back', async () => {
    const { training } = request(clouds, '');
    const dataset = await openDataset(clouds);
    const perEpoch = stepsPerEpoch(dataset.size, training);
    const run = {
      ...{ proxy: await openProxy({ model: 'mlp' }, dataset), dataset, labels: dataset.labels },
      ...{ examples: allExamples(dataset.size), seed: 0, steps: 3 * perEpoch, settings: training },
    };
    const [ahead, behind] = ['ahead', 'behind'].map((name) => join(folder, `${name}.safetensors`));
    const { cancellation } = unattended;
    const first = await trainRun(run, { cancellation, checkpoint: ahead ?? '' });
    await first.trainer.dispose();
    const done = readFileSync(ahead ?? '');
    const savedState: boolean[] = [];
    const second = await trainRun(run, {
      ...{ cancellation, checkpoint: behind ?? '' },
      epoch: async (epoch) => {
        if (epoch === 1) copyFileSync(ahead ?? '', behind ?? '');
        else savedState.push(readFileSync(behind ?? '').equals(done));
        return Promise.resolve();
      },
    });
    await second.trainer.dispose();
    expect(savedState).toEqual([true, true]);
  });

  it('is trained on the same data, and judged on the same', async () => {
    const test = cloudsTable(toyPath(folder, 'test.csv'), 30, 2);
    const judged = request(clouds, 'judged', { test });
    const { train, test: testSet } = await openSplits(clouds, {}, test);
    const own = { folder: judged.out, version: 'test' };
    const setup = await seedSetup(
      judged,
      { kind: 'train', epochs: 1 },
      { ...own, fingerprint: splitsFingerprint(train, testSet) },
    );
    const open = async (): Promise<unknown> =>
      openSeedRunner(setup.data, {
        ...{ files: { data: clouds, test }, samples: '', jobFolder: judged.out, scratch: '' },
        ...{ memoryShare: 1, openModel: async () => Promise.reject(new Error('no model')) },
      });
    await open();
    cloudsTable(test, 30, 3);
    await expect(open()).rejects.toFailWith({ code: 'dataset-changed', file: 'clouds.csv' });
  });
});
