import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { parseEvaluation } from '../../../extension/core/evaluate/evaluation-document';
import { CancelledError, unattended } from '../../../extension/core/jobs/job';
import { inEnglish } from '../../../extension/core/message';
import { ModelCache } from '../../../extension/core/models/model-cache';
import { buildRequest } from '../../../extension/core/operations/build-request';
import { evaluate } from '../../../extension/core/operations/evaluate';
import type { Evaluated } from '../../../extension/core/operations/evaluate';
import type { OperationContext } from '../../../extension/core/operations/operation';
import { planFor } from '../../../extension/core/plans/plan';
import { evaluationReport } from '../../../extension/core/report/contents/of-evaluation';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { fixture } from '../fixtures';
import { withLetters } from '../models/with-letters';
import { temporaryFolder } from '../temporary-folder';

const root = join(import.meta.dirname, '../../..');
const model = fixture('llama-gqa-untied');
const tasks = join(root, 'test/fixtures/tasks');
const folder = temporaryFolder();
const models = new ModelCache({ capacity: 2 });
const text = join(folder, 'text.txt');
const plan = planFor({ path: model }, { remove: ['block.1.attention'] });

beforeAll(() => {
  vi.stubEnv('XDG_CACHE_HOME', join(folder, 'cache'));
  writeFileSync(text, 'the quick brown fox jumps over the lazy dog. '.repeat(150));
});
afterAll(() => {
  vi.unstubAllEnvs();
  embed.mockRestore();
});
const embed = vi.spyOn(LayeredExecutor.prototype, 'embed');

interface Run {
  readonly result?: Evaluated;
  readonly error?: unknown;
  /** Messages and warnings of the run. */
  readonly reported: readonly string[];
  /** Sequences that a model has run. */
  readonly sequences: number;
  /** Amount of work in the first run. */
  readonly first: number | undefined;
}

/** @param stopAt the share of a stage after which it is stopped */
async function run(given: object, stopAt = Number.POSITIVE_INFINITY, stages = 1): Promise<Run> {
  const cancellation = { isCancellationRequested: false };
  const reported: string[] = [];
  let first: number | undefined;
  let [stage, before] = [1, 0];
  const context: OperationContext = {
    ...unattended,
    cancellation,
    progress: ({ done, total }) => {
      first ??= done;
      stage += done < before ? 1 : 0;
      before = done;
      cancellation.isCancellationRequested ||= stage >= stages && done / total >= stopAt;
    },
    inform: (message) => reported.push(inEnglish(message)),
    warn: (message) => reported.push(inEnglish(message)),
    environment: {
      samples: join(root, 'samples'),
      ...{ version: '0', bundles: '', costsFolder: folder },
      open: async (path: string) => models.open(path),
    },
  };
  embed.mockClear();
  const request = buildRequest(evaluate, { model, device: 'cpu', ...given });
  const outcome = await evaluate.run(request, context).then(
    (result) => ({ result }),
    (error: unknown) => ({ error }),
  );
  return { ...outcome, reported, sequences: embed.mock.calls.length, first };
}

/** Without the speed and the time, which differ each time. */
const readNumbers = (result: Evaluated | undefined): unknown =>
  JSON.parse(
    JSON.stringify(result, (key, value: unknown) =>
      ['tokensPerSecond', 'created'].includes(key) ? undefined : value,
    ),
  );

const readJournal = (given: object): string =>
  evaluate.resume?.(buildRequest(evaluate, { model, ...given })) as string;

it.each([
  ['a text', { text, wholeText: true, length: 64 }],
  ['two models side by side', { text, wholeText: true, length: 64, plan, against: model }],
  ['a task', { task: join(tasks, 'choices.jsonl') }],
  ['the last words of a task', { task: join(tasks, 'lm-eval/lambada_openai.jsonl') }],
])('resumes %s with the same numbers', async (_, given) => {
  const whole = await run(given);
  expect(whole.reported).toEqual([]);
  const journal = readJournal(given);
  expect(existsSync(journal)).toBe(false);
  const stopped = await run(given, 0.6);
  expect(stopped.error).toBeInstanceOf(CancelledError);
  expect(existsSync(journal)).toBe(true);
  const resumed = await run(given);
  expect(resumed.reported).toEqual(['Continues where an earlier run stopped.']);
  expect(resumed.first).toBeGreaterThan(0);
  expect(resumed.sequences).toBeLessThan(whole.sequences);
  expect(readNumbers(resumed.result)).toEqual(readNumbers(whole.result));
  expect(existsSync(journal)).toBe(false);
});

it('resumes with the second model of a task, and with generated answers', async () => {
  const given = { task: join(tasks, 'choices.jsonl'), plan, against: model };
  const whole = await run(given);
  // Both models run as much, and the first is done.
  expect((await run(given, 0.6, 2)).error).toBeInstanceOf(CancelledError);
  const resumed = await run(given);
  expect(resumed.sequences).toBeLessThan(whole.sequences / 2);
  expect(readNumbers(resumed.result)).toEqual(readNumbers(whole.result));

  const written = { task: join(tasks, 'lm-eval/exact-match.jsonl') };
  const answered = await run(written);
  expect((await run(written, 0.5)).error).toBeInstanceOf(CancelledError);
  const others = await run(written);
  expect(others.first).toBeGreaterThan(0);
  expect(readNumbers(others.result)).toEqual(readNumbers(answered.result));
});

it('reuses nothing of another text, model or setting, and keeps the saved progress of a task', async () => {
  const given = { text, wholeText: true, length: 64 };
  const task = { task: join(tasks, 'choices.jsonl') };
  await run(task, 0.6);
  for (const other of [
    { ...given, length: 32 },
    { ...given, plan },
    { ...given, stride: 32 },
  ]) {
    await run(given, 0.6);
    expect(existsSync(readJournal(given))).toBe(true);
    const { reported, first } = await run(other);
    expect(reported).toEqual([]);
    expect(first).toBe(0);
  }
  await run(given, 0.6);
  writeFileSync(text, `Another. ${readFileSync(text, 'utf8')}`);
  expect((await run(given)).reported).toEqual([]);
  expect((await run(task)).reported).toEqual(['Continues where an earlier run stopped.']);
});

it('runs if nothing can be saved', async () => {
  writeFileSync(join(folder, 'no-folder'), '');
  vi.stubEnv('XDG_CACHE_HOME', join(folder, 'no-folder'));
  const { result, reported } = await run({ task: join(tasks, 'choices.jsonl') });
  vi.stubEnv('XDG_CACHE_HOME', join(folder, 'cache'));
  expect(result).toMatchObject({ task: 'choices' });
  expect(reported).toEqual([expect.stringMatching(/^Progress is not saved: /)]);
  // The journal is deleted during the run: reported once.
  const given = { text, wholeText: true, length: 64 };
  embed.mockImplementationOnce(async function (this: LayeredExecutor, input) {
    rmSync(readJournal(given));
    return this.embed(input);
  });
  const others = await run(given);
  expect(others.result).toMatchObject({ text });
  expect(others.reported).toEqual([expect.stringMatching(/^Progress is not saved: /)]);
});

it('reports immediately that a result cannot be written', async () => {
  const out = join(folder, 'missing', 'x.evaluation.json');
  const { error, sequences } = await run({ text, length: 64, out });
  expect(String(error)).toMatch(/Choose an output in a folder/);
  expect(sequences).toBe(0);
});

it('does not reuse answers of another tokenizer', async () => {
  const copy = join(folder, 'copy');
  cpSync(model, copy, { recursive: true });
  const given = { model: copy, task: join(tasks, 'choices.jsonl') };
  expect((await run(given, 0.6)).error).toBeInstanceOf(CancelledError);
  expect((await run(given, 0)).first).toBeGreaterThan(0);
  const file = join(copy, 'tokenizer.json');
  const tokenizer = JSON.parse(readFileSync(file, 'utf8')) as { normalizer: unknown };
  tokenizer.normalizer = { type: 'Replace', pattern: { String: 'e' }, content: 'a' };
  writeFileSync(file, JSON.stringify(tokenizer));
  expect((await run(given)).first).toBe(0);
});

it('writes warnings about the measurement into the document', async () => {
  const out = join(folder, 'halves.evaluation.json');
  const halved = withLetters('t5', join(folder, 't5'));
  const { result } = await run({ model: halved, text, out });
  expect(result?.warnings).toEqual([expect.stringContaining('the first half of each window')]);
  const saved = parseEvaluation(readFileSync(out, 'utf8'), out);
  expect(saved.warnings).toEqual(result?.warnings);
  const facts = evaluationReport(saved).facts.filter(({ name }) => name === 'Warning');
  expect(facts.map(({ value }) => value)).toEqual(saved.warnings);
});
