import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { journalOfDocument } from '../../../extension/core/jobs/work-folder';
import { unattended } from '../../../extension/core/jobs/job';
import type { StageProgress } from '../../../extension/core/jobs/job';
import { ModelCache } from '../../../extension/core/models/model-cache';
import { buildRequest } from '../../../extension/core/operations/build-request';
import type { AnyOperation, OperationContext } from '../../../extension/core/operations/operation';
import { evaluate } from '../../../extension/core/operations/evaluate';
import { profile } from '../../../extension/core/operations/profile';
import { prune } from '../../../extension/core/operations/prune';
import { scoreText } from '../../../extension/core/operations/score-text';
import { runOperation } from '../../../extension/core/operations/run-operation';
import { temporaryFolder } from '../temporary-folder';

const sample = join(import.meta.dirname, '../../../samples/espalier-sample');
const folder = temporaryFolder();
const models = new ModelCache({ capacity: 1 });

/** What an operation tells until it would begin to work. */
async function toldBefore(
  operation: object,
  given: Readonly<Record<string, unknown>>,
): Promise<StageProgress[]> {
  const told: StageProgress[] = [];
  const asked = { ...(operation as AnyOperation), run: async () => Promise.resolve(told.length) };
  const context = {
    ...unattended,
    progress: (progress: StageProgress) => told.push(progress),
    environment: { open: async (path: string) => models.open(path), samples: dirname(sample) },
  } as unknown as OperationContext;
  const request = buildRequest(asked, { model: sample, device: 'cpu', ...given });
  expect(await runOperation(asked, request, context)).toBe(told.length);
  return told;
}

describe('before an operation begins', () => {
  it('says how long a search takes, the longer the more it searches', async () => {
    const [short] = await toldBefore(profile, { remove: 1 });
    const [long, ...more] = await toldBefore(profile, {
      search: 'naive',
      sequences: 1000,
      all: true,
    });
    expect(more).toEqual([]);
    expect(long).toMatchObject({ done: 0, total: 1 });
    expect(short?.secondsLeft).toBeGreaterThan(0);
    // Some thousand times the work.
    expect((long?.secondsLeft ?? 0) / (short?.secondsLeft ?? 1)).toBeGreaterThan(100);
  });

  it('says so of an evaluation by the size of the text', async () => {
    const text = join(folder, 'long.txt');
    writeFileSync(text, 'the quick brown fox jumps over the lazy dog. '.repeat(20_000));
    const [told] = await toldBefore(evaluate, { text });
    expect(told?.secondsLeft).toBeGreaterThan(0.5);
  });

  it('says so of scoring a text by its windows, or by the size of the text', async () => {
    const [some] = await toldBefore(scoreText, { windows: 30, length: 128 });
    const [all] = await toldBefore(scoreText, { length: 128 });
    // The text that comes with Espalier has some 30 thousand tokens.
    const ratio = (all?.secondsLeft ?? 0) / (some?.secondsLeft ?? 1);
    expect(ratio).toBeGreaterThan(2);
    expect(ratio).toBeLessThan(30);
  });

  it('says nothing of a text that is not there', async () => {
    expect(await toldBefore(scoreText, { text: join(folder, 'no-text.txt') })).toEqual([]);
  });

  it('says nothing where there is little to do', async () => {
    expect(await toldBefore(profile, { remove: 1, sequences: 1, length: 8 })).toEqual([]);
  });

  it('says nothing where a plan says what to remove', async () => {
    expect(await toldBefore(prune, { plan: 'some.plan.json', out: 'x' })).toEqual([]);
  });

  it('leaves it to the run to say what is wrong', async () => {
    expect(await toldBefore(profile, { model: join(folder, 'no-model') })).toEqual([]);
  });

  it('says nothing where an earlier run has saved an unknown part', async () => {
    const out = join(folder, 'some.layerprofile.json');
    writeFileSync(journalOfDocument(out), '{}\n');
    expect(await toldBefore(profile, { out })).toEqual([]);
  });
});
