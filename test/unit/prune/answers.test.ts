import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { beforeAll, describe, expect, it } from 'vitest';
import { modelInputSchema, portableInput } from '../../../extension/core/distribute/work-item';
import type { AnsweredIds } from '../../../extension/core/models/model-input';
import { judgeModels } from '../../../extension/core/evaluate/evaluate-models';
import { loadAnswers } from '../../../extension/core/data/model-inputs';
import { CancelledError, unattended } from '../../../extension/core/jobs/job';
import type { JobContext } from '../../../extension/core/jobs/job';
import { openModelFiles } from '../../../extension/core/models/open-model';
import type { OpenedModel } from '../../../extension/core/models/opened-model';
import type { LayerProfile, ProfileEvent } from '../../../extension/core/prune/layer-profile';
import { defaultSettings } from '../../../extension/core/prune/options';
import type { SearchSettings } from '../../../extension/core/prune/options';
import { profileModel } from '../../../extension/core/prune/profile-model';
import { fixture } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
const root = join(import.meta.dirname, '..', '..', '..');
const task = join(folder, 'task.jsonl');
const texts = ['the king said', 'and there was light', 'one two three four', 'in the house'];
writeFileSync(task, texts.map((text) => JSON.stringify({ text })).join('\n'));
const calibration = { file: task, sequences: texts.length, length: 64, answers: true };
const run = { device: 'cpu', memoryBytes: 1 << 30 } as const;
let model: OpenedModel;

beforeAll(async () => {
  model = await openModelFiles(fixture('llama-gqa-untied'));
});

let count = 0;
async function profile(
  settings: Partial<SearchSettings> = {},
  context: JobContext<ProfileEvent> = unattended,
  journal = join(folder, `${count++}.journal.jsonl`),
): Promise<LayerProfile> {
  return profileModel(
    {
      ...{ model, calibration, ...run, out: undefined, journal },
      settings: {
        ...defaultSettings,
        ...{ metric: 'answers', mode: 'exact', granularity: 'block', baselines: [], exclude: 0 },
        budget: { kind: 'count', count: 2 },
        ...settings,
      },
    },
    { bundledText: '', version: 'test' },
    context,
  );
}

describe('the right answers of a task as the metric of a search', () => {
  it('are scored after the ends of their questions', async () => {
    const whole = await loadAnswers(calibration, model.model);
    const { sequences, summary } = await loadAnswers({ ...calibration, length: 8 }, model.model);
    expect(summary).toMatchObject({ source: task, sequences: texts.length, length: 8 });
    for (const [i, ids] of sequences.entries()) {
      expect([...ids]).toEqual([...(whole.sequences[i] ?? [])].slice(-8));
    }
  });

  it('go to other processes with the place of their answers', async () => {
    const { sequences } = await loadAnswers(calibration, model.model);
    for (const ids of sequences) {
      const sent = v.parse(modelInputSchema, structuredClone(portableInput(ids)));
      expect(sent).toEqual(ids);
      expect(sent).toHaveProperty('answerFrom', (ids as AnsweredIds).answerFrom);
    }
  });

  it('count as evaluating the task counts them', async () => {
    const { rounds } = await profile({ mode: 'naive', budget: { kind: 'count', count: 1 } });
    const removed = rounds.map((round) => round.removed);
    const { perplexity = Number.NaN } = await judgeModels(
      { model, removed, task, ...run },
      unattended,
    );
    expect(rounds[0]?.distance).toBeCloseTo(Math.log(perplexity), 4);
  });

  it('are right or wrong as evaluating the task finds them', async () => {
    const { rounds, candidates } = await profile({ metric: 'accuracy', mode: 'naive' });
    const removed = rounds.map((round) => round.removed);
    const { acc } = await judgeModels({ model, removed, task, ...run }, unattended);
    expect(rounds.at(-1)?.distance).toBe(1 - acc);
    for (const { distance } of candidates) {
      expect((distance ?? Number.NaN) * texts.length).toBeCloseTo(
        Math.round((distance ?? Number.NaN) * texts.length),
        9,
      );
    }
    const exact = await profile({ metric: 'accuracy' });
    expect(exact.rounds.map((round) => round.removed)).toEqual(removed);
  });

  it('lead every search to the same order, and an adaptive one to nearly that', async () => {
    const naive = await profile({ mode: 'naive' });
    const exact = await profile();
    expect(exact.rounds.map(({ removed }) => removed)).toEqual(
      naive.rounds.map(({ removed }) => removed),
    );
    const adaptive = await profile({ mode: 'adaptive' });
    expect(adaptive.rounds.at(-1)?.distance).toBeLessThanOrEqual(
      1.1 * (naive.rounds.at(-1)?.distance ?? 0),
    );
  });

  it('are resumed after a cancellation', async () => {
    const journal = join(folder, 'stopped.journal.jsonl');
    const token = { isCancellationRequested: false };
    const stopping: JobContext<ProfileEvent> = {
      ...unattended,
      cancellation: token,
      emit: ({ kind }) => {
        token.isCancellationRequested = kind === 'round';
      },
    };
    await expect(profile({}, stopping, journal)).rejects.toThrow(CancelledError);
    expect(existsSync(journal)).toBe(true);
    const resumed = await profile({}, unattended, journal);
    const whole = await profile();
    expect(resumed.rounds).toEqual(whole.rounds);
    // Measurements of the stopped run are not repeated.
    const both = resumed.search.sublayerEvaluations;
    expect(both).toBeLessThan(2 * whole.search.sublayerEvaluations);
  });
});

it('a search for answers requires a task', async () => {
  const text = join(root, 'samples', 'calibration.txt');
  await expect(loadAnswers({ sequences: 2, length: 8 }, model.model)).rejects.toMatchObject({
    subject: { field: 'calibration' },
  });
  await expect(
    loadAnswers({ file: text, sequences: 2, length: 8 }, model.model),
  ).rejects.toMatchObject({ subject: { file: text } });
});
