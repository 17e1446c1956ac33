import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadCalibration, readTextWindows } from '../../../extension/core/data/calibration';
import { chooseByScore, readTextScores } from '../../../extension/core/data/text-scores';
import type { TextPolicy, TextScores } from '../../../extension/core/data/text-scores';
import { scoreText } from '../../../extension/core/datadiet/text/score-text';
import { documentJournal } from '../../../extension/core/jobs/work-folder';
import { CancelledError, unattended } from '../../../extension/core/jobs/job';
import type { JobContext } from '../../../extension/core/jobs/job';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { fixture } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
const model = fixture('llama-gqa-untied');
const length = 12;
const text = join(folder, 'text.txt');
const words = ['pear', 'wall', 'branch', 'tied', 'early', 'the', 'when', 'flat', 'tree', 'against'];
writeFileSync(
  text,
  Array.from({ length: 1500 }, (_, i) => words[(i * i + 3 * i) % (7 + (i % 4))]).join(' '),
);

async function score(
  name: string,
  context: JobContext = unattended,
  memoryBytes = 1 << 30,
): Promise<TextScores> {
  const out = join(folder, `${name}.textscores.json`);
  return scoreText(
    {
      ...{ model: await openModelFiles(model), file: text, length, device: 'cpu', memoryBytes },
      ...{ out, journal: documentJournal(out) },
    },
    { bundledText: 'no such text', version: '0' },
    context,
  );
}

/** ‖softmax(z) − y‖₂ in float64, mean over the predicted tokens. */
async function expectedScores(): Promise<number[]> {
  const opened = await openModel(model);
  const executor = new LayeredExecutor(opened, 'cpu', 1 << 30);
  const scores: number[] = [];
  for (const ids of await readTextWindows({ file: text, length, most: undefined }, opened)) {
    let state = await executor.embed(ids);
    for (const index of opened.summary.sublayers.keys()) {
      [state = state] = await executor.run(index, [state]);
    }
    const logits = await executor.logits(state);
    const vocabulary = logits.length / ids.length;
    let sum = 0;
    for (let t = 0; t + 1 < ids.length; t++) {
      const row = [...logits.subarray(t * vocabulary, (t + 1) * vocabulary)];
      const most = Math.max(...row);
      const powers = row.map((z) => Math.exp(z - most));
      const total = powers.reduce((a, b) => a + b, 0);
      sum += Math.hypot(...powers.map((p, i) => p / total - (i === ids[t + 1] ? 1 : 0)));
    }
    scores.push(sum / (ids.length - 1));
  }
  await executor.dispose();
  return scores;
}

describe('scores of a text', () => {
  it('are the mean EL2N of the tokens of each window, in the order of the text', async () => {
    const { scores } = await score('whole');
    const expected = await expectedScores();
    expect(scores.length).toBeGreaterThan(20);
    expect(scores.length).toBe(expected.length);
    scores.forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i] ?? 0, 5);
    });
    await expect(readTextScores(join(folder, 'whole.textscores.json'))).resolves.toMatchObject({
      scores,
    });
  });

  it('resume after a stop', async () => {
    const cancellation = { isCancellationRequested: false };
    const stopping: JobContext = {
      ...unattended,
      cancellation,
      progress: ({ done, total }) => {
        cancellation.isCancellationRequested ||= done > total / 2;
      },
    };
    // Little memory: not all windows at once.
    await expect(score('stopped', stopping, 1 << 23)).rejects.toBeInstanceOf(CancelledError);
    const journal = join(folder, 'stopped.textscores.journal.jsonl');
    const done = readFileSync(journal, 'utf8').trim().split('\n').length - 1;
    expect(done).toBeGreaterThan(0);
    let first = -1;
    const watching: JobContext = {
      ...unattended,
      progress: (progress) => {
        first = first < 0 ? progress.done : first;
      },
    };
    const { scores } = await score('stopped', watching);
    expect(first).toBeGreaterThan(0);
    expect(existsSync(journal)).toBe(false);
    const { scores: whole } = await score('again');
    scores.forEach((value, i) => {
      expect(value).toBeCloseTo(whole[i] ?? 0, 5);
    });
  });

  it('choose calibration windows', async () => {
    const { scores } = await score('chosen');
    const opened = await openModel(model);
    const file = join(folder, 'chosen.textscores.json');
    const windows = await readTextWindows({ file: text, length, most: undefined }, opened);
    const { sequences, summary } = await loadCalibration(
      { sequences: 3, length: 5, scores: { file, policy: 'max' } },
      opened,
      'no such text',
    );
    const hardest = chooseByScore(scores, 3, 'max', 0);
    expect(sequences).toEqual(hardest.map((i) => windows[i]));
    expect(summary).toMatchObject({
      source: text,
      length,
      tokens: 3 * length,
      choice: { scores: file, policy: 'max', windows: windows.length },
    });
    const other = join(folder, 'other.txt');
    writeFileSync(other, `early ${readFileSync(text, 'utf8')}`);
    await expect(
      loadCalibration(
        { file: other, sequences: 3, length, scores: { file, policy: 'max' } },
        opened,
        'no such text',
      ),
    ).rejects.toMatchObject({ subject: { file, field: 'text.fingerprint' } });
  });
});

describe('a choice by score', () => {
  const scores = [0.5, 0.9, 0.1, 0.7, 0.3, 0.9];
  it.each<[TextPolicy, number[]]>([
    ['max', [1, 5]],
    ['window', [0, 3]],
    ['min', [2, 4]],
  ])('%s', (policy, expected) => {
    expect(chooseByScore(scores, 2, policy, 0)).toEqual(expected);
  });

  it('random depends on the seed alone', () => {
    const draw = (seed: number): number[] => chooseByScore(scores, 3, 'random', seed);
    expect(draw(1)).toEqual(draw(1));
    expect(new Set([1, 2, 3, 4, 5, 6].map((seed) => draw(seed).join())).size).toBeGreaterThan(1);
  });

  it('refuses more than there are', () => {
    expect(() => chooseByScore(scores, 7, 'max', 0)).toFailWith({
      code: 'scores-too-few',
      field: 'sequences',
    });
  });
});
