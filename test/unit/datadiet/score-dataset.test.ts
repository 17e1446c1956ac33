import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openDataset } from '../../../extension/core/data/datasets/open-dataset';
import { runDiet } from '../../../extension/core/datadiet/subsets/diet-experiment';
import type { DietRequest } from '../../../extension/core/datadiet/subsets/diet-experiment';
import { auroc, flipLabels } from '../../../extension/core/datadiet/subsets/selection';
import { DataIssues } from '../../../extension/core/datadiet/neighbors/data-issues';
import { scoreDataset } from '../../../extension/core/datadiet/scores/score-dataset';
import type { ScoreRequest } from '../../../extension/core/datadiet/scores/run-summary';
import { scoreValues } from '../../../extension/core/datadiet/scores/score-document';
import { defaultTraining } from '../../../extension/core/datadiet/training/training-settings';
import { CancelledError, unattended } from '../../../extension/core/jobs/job';
import { inEnglish } from '../../../extension/core/message';
import type { StageProgress } from '../../../extension/core/jobs/job';
import { temporaryFolder } from '../temporary-folder';
import { trainingFixture } from '../training/golden';
import { cloudsTable, halvesArchive, textLines, toyPath } from './toy-data';

const folder = temporaryFolder();
const clouds = cloudsTable(toyPath(folder, 'clouds.csv'), 300);
const halves = halvesArchive(toyPath(folder, 'halves.npz'), 40);
const training = { ...defaultTraining, batchSize: 16 };

const request = (changes: Partial<ScoreRequest> = {}): ScoreRequest => ({
  data: clouds,
  options: {},
  proxy: { model: 'mlp' },
  score: 'el2n',
  runs: 3,
  epoch: 3,
  training,
  folder: join(folder, 'runs'),
  ...changes,
});

describe('scoring a dataset', () => {
  it('finds flipped labels, suggests the right ones, and reports the correlation of runs', async () => {
    const noise = { rate: 0.1, seed: 5 };
    const document = await scoreDataset(request({ noise }), unattended);
    const set = await openDataset(clouds);
    const { flipped, labels } = flipLabels(set.labels, 3, noise.rate, noise.seed);
    expect(document).toMatchObject({
      examples: 300,
      classNames: ['ant', 'bee', 'cow'],
      dataset: { fingerprint: set.fingerprint },
      scoring: { model: 'mlp', runs: 3, epoch: 3, noise },
      labels: [...labels],
    });
    expect(auroc(scoreValues(document), flipped)).toBeGreaterThan(0.97);
    expect(document.scoring?.interRunSpearman).toBeGreaterThan(0.5);
    expect(document.scoring?.seconds).toBeGreaterThan(0);
    const wrong = [...flipped.keys()].filter((i) => flipped[i] === 1);
    const suggested = wrong.filter((i) => document.predicted[i] === set.labels[i]);
    expect(suggested.length).toBeGreaterThan(0.9 * wrong.length);
    const found = wrong.filter((i) => document.labelIssues[i] === 1);
    expect(found.length).toBeGreaterThan(0.6 * wrong.length);
    const suspects = document.labelIssues.filter((issue) => issue === 1);
    expect(suspects.length).toBeLessThan(1.3 * wrong.length);
    // Saved runs are deleted at the end.
    expect(existsSync(join(folder, 'runs'))).toBe(false);
  });

  it.each([
    ['mlp', clouds, {}, /^256 features before the last layer of mlp/],
    ['cnn', halves, {}, /features before the last layer of cnn/],
    [
      trainingFixture('cnn.onnx'),
      halvesArchive(toyPath(folder, 'fitting.npz'), 40, 12),
      { classNames: ['left', 'right', 'up', 'down', 'none'] },
      /features before the last layer of cnn\.onnx/,
    ],
  ] as const)(
    'keeps an embedding by %s, in which classes lie apart',
    async (model, data, options, layer) => {
      const layout = model === 'cnn' ? 'umap' : 'pca';
      const document = await scoreDataset(
        request({ runs: 1, data, options, proxy: { model }, embedding: { layout } }),
        unattended,
      );
      expect(document.embedding?.layer).toMatch(layer);
      expect(document.outlierScores).toHaveLength(document.examples);
      const { embedding } = new DataIssues(document);
      const { labels } = document;
      const nearest = labels.map((_, i) => labels[embedding?.neighbors(i)[0]?.index ?? -1]);
      const agreeing = nearest.filter((label, i) => label === labels[i]).length;
      expect(agreeing).toBeGreaterThan(0.8 * labels.length);
    },
  );

  it.each([
    ['el2n', 1, 'mlp', clouds],
    ['margin', 1, 'mlp', clouds],
    ['grand', 1, 'mlp', clouds],
    ['grand', 0, 'mlp', clouds],
    ['forgetting', 4, 'mlp', clouds],
    ['grand', 1, 'cnn', halves],
    ['grand', 1, 'resnet', halves],
  ] as const)('by %s at epoch %i with %s', async (score, epoch, model, data) => {
    const document = await scoreDataset(
      request({ score, epoch, runs: 2, data, proxy: { model } }),
      unattended,
    );
    const scores = scoreValues(document);
    expect(scores).toHaveLength(document.examples);
    expect(new Set(scores).size).toBeGreaterThan(1);
    if (score !== 'margin') {
      expect(Math.min(...scores)).toBeGreaterThanOrEqual(0);
    }
    expect(
      document.notes.join().includes('at initialization mostly measures the size of the input'),
    ).toBe(score === 'grand' && epoch === 0);
  });

  it('scores texts through a tokenizer, for EL2N and for GraNd', async () => {
    const data = textLines(toyPath(folder, 'texts.jsonl'), 60);
    const tokenizer = join(import.meta.dirname, '../../../samples/espalier-sample');
    for (const score of ['el2n', 'grand'] as const) {
      const proxy = { model: 'mlp', tokenizer, maxTokens: 32 };
      const document = await scoreDataset(request({ data, proxy, score, runs: 1 }), unattended);
      expect(document.examples).toBe(60);
      expect(document.scoring?.interRunSpearman).toBeNull();
      expect(document.deviations).toEqual([]);
    }
  });

  it('keeps its runs if the result cannot be written', async () => {
    const remaining = join(folder, 'unwritten');
    const write = async (): Promise<void> => Promise.reject(new Error('disk full'));
    const failing = request({ folder: remaining, write });
    await expect(scoreDataset(failing, unattended)).rejects.toThrow('disk full');
    expect(readdirSync(remaining).filter((name) => name.endsWith('.npz'))).not.toHaveLength(0);
  });

  it('resumes with the same result, and adds runs to finished ones', async () => {
    const whole = await scoreDataset(request({ score: 'forgetting' }), unattended);
    const stopped = request({ score: 'forgetting', folder: join(folder, 'stopped') });
    const cancellation = { isCancellationRequested: false };
    const job = {
      ...unattended,
      cancellation,
      progress: ({ done, total }: { done: number; total: number }) => {
        cancellation.isCancellationRequested ||= done > 0.55 * total;
      },
    };
    await expect(scoreDataset(stopped, job)).rejects.toBeInstanceOf(CancelledError);
    const remaining = readdirSync(stopped.folder).filter((name) => name.endsWith('.npz'));
    expect(remaining).toHaveLength(4);
    const resumed = await scoreDataset(stopped, unattended);
    const timeless = { ...whole.scoring, seconds: 0 };
    expect({ ...resumed, scoring: { ...resumed.scoring, seconds: 0 } }).toEqual({
      ...whole,
      scoring: timeless,
    });
  });

  it.each([
    [{ runs: 0 }, { code: 'integer-too-small' as const, field: 'runs' }],
    [{ epoch: 1.5 }, { code: 'integer-too-small' as const, field: 'epoch' }],
    [
      { score: 'forgetting', epoch: 1 },
      { code: 'integer-too-small' as const, field: 'epoch' },
    ],
    [{ noise: { rate: 1, seed: 0 } }, { code: 'noise-rate-invalid' as const, field: 'noise' }],
  ] as const)('%j is refused', async (changes, message) => {
    await expect(
      scoreDataset(request(changes as Partial<ScoreRequest>), unattended),
    ).rejects.toFailWith(message);
  });
});

describe('the experiment', () => {
  const diet: DietRequest = {
    data: clouds,
    options: {},
    proxy: { model: 'mlp' },
    scores: [{ kind: 'el2n', epoch: 2 }],
    runs: 2,
    keep: [0.2],
    policies: ['max', 'window'],
    offsets: [0, 0.3],
    balanced: true,
    epochs: 3,
    seeds: 2,
    iso: 'steps',
    training,
    noise: { rate: 0.2, seed: 1 },
    folder: join(folder, 'diet'),
  };

  it('also trains on all examples and on random ones, and finds the window without the noise', async () => {
    const reported: StageProgress[] = [];
    const job = { ...unattended, progress: (progress: StageProgress) => reported.push(progress) };
    const { rows, scorings, sweeps, dataset } = await runDiet(diet, job);
    // Scoring: 2 runs of 2 epochs of 15 steps; then 2 seeds each of 4 choices and of 2 windows, 45 steps long.
    expect(new Set(reported.map(({ total }) => total))).toEqual(new Set([600]));
    expect(reported.map(({ done }) => done)).toEqual(
      reported.map(({ done }) => done).sort((a, b) => a - b),
    );
    expect(reported.at(-1)?.done).toBe(600);
    const { fingerprint } = await openDataset(diet.data, diet.options);
    expect(dataset).toMatchObject({ fingerprint, examples: 240, testExamples: 60 });
    expect(
      rows.map(({ choice, policy, steps, examples }) => ({ choice, policy, steps, examples })),
    ).toEqual([
      { choice: 'full', policy: undefined, steps: 45, examples: 240 },
      { choice: 'random', policy: 'random', steps: 45, examples: expect.closeTo(48, -1) as number },
      { choice: 'el2n@2', policy: 'max', steps: 45, examples: expect.closeTo(48, -1) as number },
      { choice: 'el2n@2', policy: 'window', steps: 45, examples: expect.closeTo(48, -1) as number },
    ]);
    expect(scorings[0]?.noiseAuroc).toBeGreaterThan(0.95);
    expect(sweeps).toMatchObject([{ keep: 0.2, chosen: 0.3 }]);
    const [, random, max, window] = rows;
    expect(max?.wrongLabels).toBeGreaterThan(0.8);
    expect(window?.wrongLabels).toBeLessThan(0.1);
    expect(max?.mean).toBeLessThan(random?.mean ?? 0);
    expect(window?.mean).toBeGreaterThan(max?.mean ?? 1);
    expect(random?.accuracies).toHaveLength(2);
    expect(random?.deviation).toBeGreaterThanOrEqual(0);
  });

  it('resumes with the same accuracies, and trains a part for the same number of epochs', async () => {
    const request = {
      ...diet,
      iso: 'epochs',
      offsets: [0.3],
      folder: join(folder, 'again'),
    } as const;
    const whole = await runDiet(request, unattended);
    expect(whole.sweeps).toEqual([]);
    expect(whole.rows.map(({ steps }) => steps)).toEqual([45, 9, 9, 9]);
    const cancellation = { isCancellationRequested: false };
    const job = {
      ...unattended,
      cancellation,
      progress: ({ stage, done }: StageProgress) => {
        const reported = inEnglish(stage);
        cancellation.isCancellationRequested ||=
          // 150 steps are of scores and of everything.
          reported.includes('max') || (reported.includes('random') && done > 155);
      },
    };
    await expect(runDiet(request, job)).rejects.toBeInstanceOf(CancelledError);
    const resumed = await runDiet(request, unattended);
    expect(resumed.rows.map(({ accuracies }) => accuracies)).toEqual(
      whole.rows.map(({ accuracies }) => accuracies),
    );
  });

  it('keeps finished work until the result is written', async () => {
    const request: DietRequest = {
      ...{ ...diet, policies: ['max'], runs: 1, seeds: 1, epochs: 1 },
      folder: join(folder, 'kept'),
    };
    const full = async (): Promise<never> => Promise.reject(new Error('no space'));
    await expect(runDiet(request, unattended, undefined, full)).rejects.toThrow('no space');
    const found = await runDiet(request, unattended, undefined, async () => {
      expect(existsSync(request.folder)).toBe(true);
      return Promise.resolve();
    });
    expect(found.rows).toHaveLength(3);
    expect(existsSync(request.folder)).toBe(false);
  });
});
