import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadTokenizer } from '../../../extension/core/data/tokenizer';
import type { Tokenizer } from '../../../extension/core/data/tokenizer';
import { matchAnswers } from '../../../extension/core/evaluate/answer-task';
import { encodeTask, evaluateTask } from '../../../extension/core/evaluate/task-accuracy';
import type { LikelihoodTask } from '../../../extension/core/evaluate/task-accuracy';
import type { Example } from '../../../extension/core/data/tasks/task-example';
import { readTask } from '../../../extension/core/data/tasks/task-file';
import { unattended } from '../../../extension/core/jobs/job';
import { unsavedPart } from '../../../extension/core/jobs/saved-parts';
import { inEnglish } from '../../../extension/core/message';
import type { Message } from '../../../extension/core/message';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { temporaryFolder } from '../temporary-folder';
import { runsAllCases } from '../sample';

const folder = temporaryFolder();
const root = join(import.meta.dirname, '..', '..', '..');
const tasks = join(root, 'test', 'fixtures', 'tasks', 'lm-eval');

interface Golden {
  readonly acc?: number;
  readonly acc_norm?: number;
  readonly exact_match?: number;
  /** Generated text, for exact matches. */
  readonly answers?: readonly string[];
  readonly logLikelihoods?: readonly (readonly number[])[];
}
const golden = JSON.parse(readFileSync(join(tasks, 'golden.json'), 'utf8')) as Record<
  string,
  Record<string, Golden>
>;

const memoryBytes = 1 << 30;
const { model } = await openModelFiles(join(root, 'samples', 'espalier-sample'));
const executor = new LayeredExecutor(model, 'cpu', memoryBytes);
const tokenizer = await loadTokenizer(model.summary.path);
afterAll(async () => executor.dispose());

const answer = async (name: string, shots: number) => {
  const task = await readTask(join(tasks, `${name}.jsonl`), { shots });
  return task.kind === 'exact-match'
    ? matchAnswers(
        model,
        tokenizer,
        task,
        { device: 'cpu', memoryBytes, removed: [] },
        unsavedPart(),
        unattended,
      )
    : score(task, tokenizer);
};

const score = async (task: LikelihoodTask, one: Tokenizer) =>
  evaluateTask(executor, task, encodeTask(model, one, task), new Set(), unsavedPart(), unattended);

/** Prompts and continuations of an example. */
const exampleRequests = (example: Example) =>
  example.kind === 'exact-match'
    ? [example.prompt, example.targets, example.stops, example.tokens]
    : [example.pairs, example.kind === 'multiple-choice' && example.answer];

/** Values of few-shot examples of a task: 2 or 0 in turn, or both in `npm run test:all`. */
const fewShotCounts = (task: number): readonly number[] =>
  runsAllCases ? [0, 2] : [task % 2 === 0 ? 2 : 0];

describe('rows of the data sets of lm-evaluation-harness', () => {
  it.each(
    Object.keys(golden).flatMap((name, i) =>
      fewShotCounts(i).map((shots) => [name, shots] as const),
    ),
  )('of %s score as there, with %i shots', async (name, shots) => {
    const {
      acc,
      acc_norm: accNorm,
      exact_match: match,
      answers,
      logLikelihoods,
    } = golden[name]?.[shots] ?? {};
    const found = await answer(name, shots);
    expect(found.result).toMatchObject({
      acc: acc ?? match,
      ...(accNorm === undefined ? {} : { accNorm }),
    });
    if (answers !== undefined) {
      const { examples } = await readTask(join(tasks, `${name}.jsonl`));
      const right = examples.map(
        (one, i) => one.kind === 'exact-match' && one.targets.includes(answers[i] ?? ''),
      );
      expect(found.right).toEqual(right);
    }
    expect(found.logLikelihoods.length).toBe(logLikelihoods?.length ?? 0);
    for (const [i, expected] of (logLikelihoods ?? []).entries()) {
      for (const [k, value] of expected.entries()) {
        expect(found.logLikelihoods[i]?.[k]).toBeCloseTo(value, 3);
      }
    }
  });

  it.each(['hellaswag', 'winogrande', 'lambada_openai', 'exact-match'])(
    'of %s use the logged prompts',
    async (name) => {
      const asked = await readTask(join(tasks, `${name}.jsonl`));
      const logged = await readTask(join(tasks, `logged-${name}.jsonl`));
      expect(logged.kind).toBe(asked.kind);
      expect(logged.examples.map(exampleRequests)).toEqual(asked.examples.map(exampleRequests));
    },
  );
});

it('a generative task warns if each token takes a pass over the whole text', async () => {
  const task = await readTask(join(tasks, 'exact-match.jsonl'));
  if (task.kind !== 'exact-match') throw new Error('the answers are written');
  const one = { ...task, examples: task.examples.slice(0, 1).map((it) => ({ ...it, tokens: 1 })) };
  const options = { device: 'cpu', memoryBytes, removed: [] } as const;
  const withoutCache = Object.create(model, { emitter: { value: undefined } }) as typeof model;
  const warned: string[] = [];
  const warn = (message: Message): number => warned.push(inEnglish(message));
  await matchAnswers(withoutCache, tokenizer, one, options, unsavedPart(), { ...unattended, warn });
  expect(warned).toEqual([
    'espalier-sample processes the whole text again for each token: the graph has no key/value cache.',
  ]);
});

describe('a tokenizer that begins a text', () => {
  it('does so in front of the context', async () => {
    const scored = async (context: string, one: Tokenizer) => {
      const file = join(folder, 'beginning.jsonl');
      writeFileSync(file, JSON.stringify({ context, choices: ['upon', 'again'], answer: 0 }));
      const task = await readTask(file);
      expect(task.kind).toBe('multiple-choice');
      return task.kind === 'exact-match' ? undefined : score(task, one);
    };
    const beginning = {
      ...tokenizer,
      encode: (text: string) =>
        Int32Array.of(tokenizer.prefixToken ?? -1, ...tokenizer.encodePlain(text)),
    };
    const spelled = await scored('<s>Once', tokenizer);
    await expect(scored('Once', beginning)).resolves.toEqual(spelled);
    await expect(scored('Once', tokenizer)).resolves.not.toEqual(spelled);
  });
});

describe('a task file of others', () => {
  const read = async (rows: readonly object[], shots = 0) => {
    const file = join(folder, 'task.jsonl');
    writeFileSync(file, rows.map((row) => JSON.stringify(row)).join('\n'));
    return readTask(file, { shots });
  };
  const piqa = { goal: 'To see,', sol1: 'look.', sol2: 'listen.', label: 0 };

  it.each([
    [[{ color: 'red' }], 0, 'line 1', 'No task has rows with the fields color'],
    [[{ ...piqa, label: -1 }], 0, 'line 1: label', 'The answer is choice -1, but there are only 2'],
    [[piqa, { goal: 'To see,' }], 0, 'line 2: sol1', ''],
    [
      [piqa, { ...piqa, goal: 'To hear,' }],
      2,
      'shots',
      '1 example to choose few-shot examples from',
    ],
    [
      [{ doc: {}, target: '0', arguments: { gen_args_0: { arg_0: 'a', arg_1: ' b' } } }],
      1,
      'shots',
      'whole prompts',
    ],
  ])('%j with %i shots is refused', async (rows, shots, field, problem) => {
    const error: unknown = await read(rows, shots).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ subject: { field } });
    expect(String(error)).toContain(problem);
  });

  it("has MMLU's shots of the same subject alone", async () => {
    const row = (subject: string, question: string) => ({
      ...{ subject, question, choices: ['1', '2', '3', '4'], answer: 2 },
    });
    const { examples } = await read([row('a_b', 'x'), row('c', 'y'), row('a_b', 'z')], 0);
    expect(examples).toHaveLength(3);
    await expect(read([row('a_b', 'x'), row('c', 'y')], 1)).rejects.toFailWith({
      code: 'few-shot-too-few',
      file: 'task.jsonl',
      field: 'shots',
    });
  });
});
