import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { judgeModels } from '../../../extension/core/evaluate/evaluate-models';
import { readTask } from '../../../extension/core/data/tasks/task-file';
import { unattended } from '../../../extension/core/jobs/job';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
const root = join(import.meta.dirname, '..', '..', '..');
const tasks = join(root, 'test', 'fixtures', 'tasks');
const model = join(root, 'samples', 'espalier-sample');
const golden = JSON.parse(readFileSync(join(tasks, 'golden.json'), 'utf8')) as {
  choices: { acc: number; accNorm: number };
  lastWord: { acc: number; perplexity: number };
};

const judge = async (name: string, against?: string) =>
  judgeModels(
    {
      model: await openModelFiles(model),
      removed: against === undefined ? [] : ['block.1', 'block.2'],
      ...(against === undefined ? {} : { against: await openModelFiles(against) }),
      task: join(tasks, `${name}.jsonl`),
      device: 'cpu',
      memoryBytes: 1 << 30,
    },
    unattended,
  );

describe('tasks', () => {
  it('of multiple choice have the scores of the plain script, for long and empty contexts too', async () => {
    const { acc, accNorm } = golden.choices;
    await expect(judge('choices')).resolves.toMatchObject({
      task: 'choices',
      kind: 'multiple-choice',
      examples: 24,
      acc,
      accNorm,
    });
  });

  it('of the last word have the scores of the plain script', async () => {
    const result = await judge('last-word');
    expect(result.acc).toBe(golden.lastWord.acc);
    expect((result.perplexity ?? 0) / golden.lastWord.perplexity).toBeCloseTo(1, 4);
  });

  it('evaluate skipped sublayers together with the full model', async () => {
    const { against, ...pruned } = await judge('last-word', model);
    expect((against?.perplexity ?? 0) / golden.lastWord.perplexity).toBeCloseTo(1, 4);
    expect(pruned.perplexity).toBeGreaterThan(1.2 * golden.lastWord.perplexity);
  });
});

describe('a task file', () => {
  const read = async (text: string) => {
    const file = join(folder, 'task.jsonl');
    writeFileSync(file, text);
    return readTask(file);
  };

  it.each([
    ['', undefined, 'no examples'],
    [
      '{"context": "a", "choices": ["b", "c"], "answer": 2}',
      'line 1: answer',
      'The answer is choice 2',
    ],
    ['{"context": "a", "choices": ["b"], "answer": 0}', 'line 1: choices', 'length'],
    ['\n{"text": "one two"}\n{"text": "one"}', 'line 3: text', 'format'],
    ['{"text": "one two"}\n{', 'line 2', 'not JSON'],
    [
      '{"text": "one two"}\n{"context": "a", "choices": ["b", "c"], "answer": 0}',
      'line 2: text',
      '',
    ],
    ['7', 'line 1', 'not an object'],
  ])('%j is refused', async (text, field, problem) => {
    const error: unknown = await read(text).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ subject: field === undefined ? {} : { field } });
    expect(String(error)).toContain(problem);
  });

  it('reads examples of one kind, and skips empty lines', async () => {
    await expect(read('{"text": "one two"}\n\n{"text": "three four"}')).resolves.toMatchObject({
      name: 'task',
      kind: 'last-word',
      examples: [
        { pairs: [{ context: 'one', continuation: ' two' }] },
        { pairs: [{ context: 'three', continuation: ' four' }] },
      ],
    });
  });
});
