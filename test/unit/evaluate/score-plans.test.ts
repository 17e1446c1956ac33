import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { judgeModels } from '../../../extension/core/evaluate/evaluate-models';
import { scorePlans } from '../../../extension/core/evaluate/score-plans';
import type { ScoreRequest } from '../../../extension/core/evaluate/score-plans';
import { CancelledError, unattended } from '../../../extension/core/jobs/job';
import type { JobContext } from '../../../extension/core/jobs/job';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { applyPlan } from '../../../extension/core/pipelines/apply-plan';
import { planFor } from '../../../extension/core/plans/plan';
import type { MeasuredPlan } from '../../../extension/core/tensornet/budget/plan-measurer';
import type { SensitivityProfile } from '../../../extension/core/tensornet/sensitivity/sensitivity-profile';
import { fixture } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
const model = await openModelFiles(fixture('llama-gqa-untied'));
const running = { device: 'cpu', memoryBytes: 1 << 28 } as const;
const task = join(folder, 'few.jsonl');
const bundledText = join(folder, 'text.txt');
writeFileSync(bundledText, 'the quick brown fox jumps over the lazy dog. '.repeat(60));
const words = ['fox', 'dog', 'lazy', 'quick', 'brown', 'over'];
writeFileSync(
  task,
  words
    .map((word, i) => ({
      context: 'the quick brown fox jumps over the',
      choices: [` ${word}`, ' jumps', ' the'],
      answer: i % 3,
    }))
    .map((row) => JSON.stringify(row))
    .join('\n'),
);

const tensor = model.model.sublayer(1).linearLayers[0]?.id ?? '';
const plans: MeasuredPlan[] = [
  { compress: [{ tensor, method: 'lowrank', setting: 2 }], remove: [], widths: [] },
  {
    compress: [{ tensor, method: 'int4', setting: 16 }],
    remove: ['block.0.attention'],
    widths: [{ sublayer: 'block.1.feedforward', remove: '0-9' }],
  },
];

const makeRequest = (name: string): ScoreRequest => ({
  ...{ model, task, bundledText, version: 'test', ...running },
  journal: join(folder, `${name}.jsonl`),
  folder: join(folder, name),
  calibration: { file: bundledText, sequences: 2, length: 16 },
  // Settings of the measurement, without its results.
  table: {
    ...{ model: model.summary, metric: 'js', layers: [] },
    settings: { seed: 0 },
  } as unknown as SensitivityProfile,
});

it('scores plans as the models that they make', async () => {
  const { original, scores } = await scorePlans(plans, makeRequest('whole'), unattended);
  const alone = { removed: [], ...running, task };
  expect(original).toEqual(await judgeModels({ ...alone, model }, unattended));
  for (const [i, plan] of plans.entries()) {
    const application = {
      ...{
        model,
        planFolder: folder,
        out: join(folder, `made-${i}`),
        overwrite: false,
        ...running,
      },
      plan: planFor({ path: model.path, fingerprint: model.summary.fingerprint }, plan),
    };
    const { path } = await applyPlan(application, unattended);
    const made = { ...alone, model: await openModelFiles(path), against: model };
    const { against: _, ...judged } = await judgeModels(made, unattended);
    expect(scores[i]).toEqual(judged);
  }
  expect(existsSync(makeRequest('whole').folder)).toBe(false);
});

it('continues after a stop', async () => {
  const request = makeRequest('stopped');
  const cancellation = { isCancellationRequested: false };
  /** Answers, as their progress tells. */
  let asked = new Set<number>();
  const context: JobContext = {
    ...unattended,
    cancellation,
    progress: ({ stage, done, total }) => {
      if (total === 1 + plans.length && done < total) {
        asked.add(Math.floor(done));
        cancellation.isCancellationRequested ||= done >= 2;
      }
      expect(stage).toBeDefined();
    },
  };
  await expect(scorePlans(plans, request, context)).rejects.toBeInstanceOf(CancelledError);
  expect(existsSync(request.journal)).toBe(true);
  expect([...asked]).toEqual([0, 1, 2]);
  const answersIn = (journal: string) => readFileSync(journal, 'utf8').match(/"right"/g)?.length;
  expect(answersIn(request.journal)).toBe(2);
  // Nothing is reused from a profile on another calibration text.
  const other = makeRequest('other');
  copyFileSync(request.journal, other.journal);
  const calibration = { fingerprint: 'other' } as SensitivityProfile['calibration'];
  const changed = { ...other, table: { ...other.table, calibration } };
  await expect(scorePlans(plans, changed, context)).rejects.toBeInstanceOf(CancelledError);
  expect(answersIn(other.journal)).toBeUndefined();
  cancellation.isCancellationRequested = false;
  asked = new Set();
  const stopAtNothing = { ...context, cancellation: { isCancellationRequested: false } };
  const resumed = await scorePlans(plans, request, stopAtNothing);
  expect([...asked]).toEqual([2]);
  expect(resumed).toEqual(await scorePlans(plans, makeRequest('anew'), unattended));
  expect(existsSync(request.journal)).toBe(false);
});
