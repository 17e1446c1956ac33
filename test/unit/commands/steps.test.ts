import { expect, it } from 'vitest';
import { back, followedBy, inSteps, steps } from '../../../extension/commands/questions/steps';
import type { Place } from '../../../extension/commands/questions/steps';

type Answer = string | typeof back | undefined;

/** Questions to a user who answers in this order, and the messages shown. */
function user(...answers: readonly Answer[]) {
  const seen: string[] = [];
  const left = [...answers];
  const ask = async (name: string, known: readonly string[] = []): Promise<string | undefined> =>
    steps().question<string, string>(
      (answer) => (known.length === 0 || known.includes(answer) ? answer : undefined),
      async ({ step, total }: Place, earlier) => {
        seen.push(`${name} ${step}/${total}${earlier === undefined ? '' : ` ${earlier}`}`);
        return Promise.resolve(left.shift());
      },
    );
  return { ask, seen };
}

it('asks the previous question again, with the earlier answer, and those before it no more', async () => {
  const { ask, seen } = user('model', 'int4', back, 'int8', 'folder');
  const done = await inSteps(async () => [
    await followedBy(2, async () => ask('which')),
    await followedBy(1, async () => ask('how')),
    await ask('where'),
  ]);
  expect(done).toEqual(['model', 'int8', 'folder']);
  expect(seen).toEqual(['which 1/3', 'how 2/3', 'where 3/3', 'how 2/3 int4', 'where 3/3']);
});

it('goes back several questions, and suggests all answers again while the branch is the same', async () => {
  const { ask, seen } = user('a', 'b', back, back, 'a', 'b', 'c');
  await inSteps(async () => [await ask('1'), await ask('2'), await ask('3')]);
  expect(seen).toEqual(['1 1/1', '2 2/2', '3 3/3', '2 2/2 b', '1 1/1 a', '2 2/2 b', '3 3/3']);
});

it('follows another branch if an answer changes', async () => {
  const { ask, seen } = user('task', '5', back, back, 'text');
  const done = await inSteps(async () => {
    const measure = await ask('measure');
    return measure === 'task' ? [measure, await ask('shots'), await ask('against')] : [measure];
  });
  expect(done).toEqual(['text']);
  expect(seen).toEqual([
    'measure 1/1',
    'shots 2/2',
    'against 3/3',
    'shots 2/2 5',
    'measure 1/1 task',
  ]);
});

it('runs work between two questions once, and again after another answer', async () => {
  const { ask } = user('a', 'b', back, 'b', back, back, 'other', 'b');
  const read: unknown[] = [];
  await inSteps(async () => {
    const data = await ask('data');
    await steps().once(async () => Promise.resolve(read.push(data)));
    await ask('score');
    return ask('runs');
  });
  expect(read).toEqual(['a', 'other']);
});

it('goes back from a canceled dialog, and ends at the first question', async () => {
  const { ask, seen } = user('another file', 'bundled');
  const dialog = async (): Promise<string | undefined> => {
    const path = await steps().once(async () => Promise.resolve<string | undefined>(undefined));
    if (path === undefined) steps().goBack();
    return path;
  };
  const done = await inSteps(async () => {
    const text = await ask('text');
    return text === 'bundled' ? text : dialog();
  });
  expect(done).toBe('bundled');
  expect(seen).toEqual(['text 1/1', 'text 1/1 another file']);
  expect(await inSteps(dialog)).toBeUndefined();
});

it('asks again for answers that became invalid, and ends without an answer', async () => {
  const rows = ['a', 'b'];
  const { ask, seen } = user('b', back, undefined);
  const done = await inSteps(async () => {
    const row = await ask('row', rows);
    rows.length = 1;
    return row && ask('next');
  });
  expect(done).toBeUndefined();
  expect(seen).toEqual(['row 1/1', 'next 2/2', 'row 1/1 b']);
});

it('separates the questions of two commands, and forwards errors', async () => {
  const { ask, seen } = user('a', 'b');
  await inSteps(async () => {
    await ask('outer');
    await inSteps(async () => ask('inner'));
  });
  expect(seen).toEqual(['outer 1/1', 'inner 1/1']);
  await expect(inSteps(() => Promise.reject(new Error('full')))).rejects.toThrow('full');
});
