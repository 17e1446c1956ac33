import { describe, expect, it } from 'vitest';
import type { GeneratedToken } from '../../../extension/core/generate/generate';
import { inEnglish, say } from '../../../extension/core/message';
import type { GenerationResult } from '../../../extension/core/operations/generate';
import type { Turn } from '../../../extension/protocol/playground';
import { UserError } from '../../../extension/core/user-error';
import { PlaygroundSession } from '../../../extension/services/sessions/playground-session';
import type { GenerationWatch } from '../../../extension/services/sessions/playground-session';
import { RequestCancelled } from '../../../extension/services/worker/worker-errors';

const prompt = { prompt: 'The', chat: false, tokens: 4, temperature: 0, seed: 0 };
const token = (text: string): GeneratedToken => ({ text, probability: 0.5, likeliest: [] });
const generation = (tokensPerSecond: number, stopped: 'end' | 'length') => ({
  ...{ model: 'm', text: ' a b', tokens: 2, promptTokens: 1, stopped, tokensPerSecond },
});

/** A session whose requests are answered by hand. */
function started(models = ['/original', '/changed']) {
  interface Asked {
    readonly models: readonly string[];
    readonly text: string;
    readonly turns: readonly Turn[];
    readonly watch: GenerationWatch;
    readonly answer: (result: GenerationResult) => void;
    readonly fail: (error: Error) => void;
  }
  const asked: Asked[] = [];
  const world = { blocked: false, disposed: false, chatModels: ['/original', '/chat'] };
  const session = new PlaygroundSession(models, {
    generate: async (paths, { prompt: text }, turns, watch) =>
      new Promise((answer, fail) => {
        asked.push({ models: paths, text, turns, watch, answer, fail });
        watch.token?.onCancellationRequested(() => {
          fail(new RequestCancelled());
        });
      }),
    hasChatTemplate: async (model) => Promise.resolve(world.chatModels.includes(model)),
    describeError: (error) => (error as Error).message,
    localise: inEnglish,
    blocked: () =>
      world.blocked ? { reason: 'not trusted', code: 'workspace-untrusted' } : undefined,
    dispose: () => {
      world.disposed = true;
    },
  });
  const last = (): Asked => {
    const one = asked.at(-1);
    if (one === undefined) throw new Error('nothing was asked');
    return one;
  };
  return { session, asked, last, world };
}

describe('a playground', () => {
  it('reports if all its models have a chat template', async () => {
    const { session } = started(['/original']);
    await expect.poll(() => session.snapshot().isChat).toBe(true);
    session.compareWith('/changed');
    await expect.poll(() => session.snapshot().isChat).toBe(false);
    session.compareWith('/chat');
    await expect.poll(() => session.snapshot().isChat).toBe(true);
  });

  it('collects the tokens of both models, and their paces', async () => {
    const { session, last } = started();
    const grown: string[] = [];
    session.grown.listen(({ key }) => grown.push(key));
    const done = session.generate(prompt);
    const { watch, answer, models } = last();
    expect(models).toEqual(['/original', '/changed']);
    watch.onEvent({ of: 0, place: 0, token: token(' a'), tokensPerSecond: null });
    watch.onEvent({ of: 1, place: 0, token: token(' a'), tokensPerSecond: null });
    const llamaCpp = 'v1';
    watch.onEvent({ of: 1, place: 1, token: token(' c'), tokensPerSecond: 20, llamaCpp });
    expect(session.snapshot()).toMatchObject({
      run: { kind: 'running' },
      tokens: { '0.0': { text: ' a' }, '1.0': { text: ' a' }, '1.1': { text: ' c' } },
      paces: [{ tokensPerSecond: null }, { tokensPerSecond: 20, ended: undefined, llamaCpp }],
    });
    expect(grown).toEqual(['0.0', '1.0', '1.1']);
    answer({ ...generation(10, 'length'), against: { ...generation(20, 'end'), llamaCpp } });
    await done;
    expect(session.snapshot()).toMatchObject({
      run: { kind: 'done' },
      paces: [
        { tokensPerSecond: 10, ended: false, llamaCpp: undefined },
        { tokensPerSecond: 20, ended: true, llamaCpp },
      ],
    });
  });

  it('keeps the generated text when stopped, and ignores later tokens', async () => {
    const { session, last } = started();
    const done = session.generate(prompt);
    const { watch } = last();
    watch.onEvent({ of: 0, place: 0, token: token(' a'), tokensPerSecond: null });
    session.stop();
    watch.onEvent({ of: 0, place: 1, token: token(' b'), tokensPerSecond: 9 });
    await done;
    expect(session.snapshot()).toMatchObject({ run: { kind: 'stopped' } });
    expect(Object.keys(session.snapshot().tokens)).toEqual(['0.0']);
  });

  it('stops for a new prompt, and shows only its tokens', async () => {
    const { session, asked, last } = started();
    const first = session.generate(prompt);
    const second = session.generate({ ...prompt, prompt: 'A' });
    // A request that runs at the same time as a hanging one would end with its process.
    expect(asked.length).toBe(1);
    await first;
    expect(session.snapshot().run).toEqual({ kind: 'running' });
    await expect.poll(() => asked.length).toBe(2);
    asked[0]?.watch.onWarning(say`Too late.`);
    asked[0]?.watch.onEvent({ of: 0, place: 0, token: token('x'), tokensPerSecond: null });
    last().watch.onEvent({ of: 0, place: 0, token: token('y'), tokensPerSecond: null });
    last().answer(generation(5, 'end'));
    await second;
    expect(session.snapshot().tokens).toMatchObject({ '0.0': { text: 'y' } });
    expect(session.snapshot().warnings).toEqual([]);
    expect(session.snapshot().run).toEqual({ kind: 'done' });
  });

  it('explains why a prompt cannot be continued, and runs nothing without trust', async () => {
    const { session, last, world, asked } = started();
    const done = session.generate(prompt);
    last().fail(new UserError('prompt-empty', say`The prompt is empty.`, { remedy: undefined }));
    await done;
    expect(session.snapshot().run).toEqual({ kind: 'failed', message: 'The prompt is empty.' });
    world.blocked = true;
    session.refreshBlocked();
    await session.generate(prompt);
    expect(asked.length).toBe(1);
    const refused = { blocked: 'not trusted', run: { kind: 'failed', message: 'not trusted' } };
    expect(session.snapshot()).toMatchObject(refused);
  });

  it('keeps a turn of a chat in which one model wrote nothing', async () => {
    const { session, last } = started();
    void session.generate({ ...prompt, prompt: 'Who?', chat: true });
    last().watch.onEvent({ of: 1, place: 0, token: token('A clerk.'), tokensPerSecond: null });
    last().answer(generation(5, 'end'));
    await expect.poll(() => session.snapshot().run.kind).toBe('done');
    void session.generate({ ...prompt, prompt: 'When?', chat: true });
    await expect.poll(() => last().text).toBe('When?');
    expect(last().turns).toEqual([{ prompt: 'Who?', answers: ['', 'A clerk.'] }]);
    session.stop();
  });

  it('continues a chat, and begins a new one if asked', async () => {
    const { session, last } = started(['/original']);
    const answer = async (text: string): Promise<void> => {
      last().watch.onEvent({ of: 0, place: 0, token: token(text), tokensPerSecond: null });
      last().answer(generation(5, 'end'));
      await expect.poll(() => session.snapshot().run.kind).toBe('done');
    };
    const ask = (text: string, chat = true): void => {
      void session.generate({ ...prompt, prompt: text, chat });
    };
    ask('Who?');
    expect(last().turns).toEqual([]);
    expect(session.snapshot().isChatTurn).toBe(true);
    await answer('A clerk.');
    ask('When?');
    const turns = [{ prompt: 'Who?', answers: ['A clerk.'] }];
    await expect.poll(() => last().text).toBe('When?');
    expect(last().turns).toEqual(turns);
    expect(session.snapshot().turns).toEqual(turns);
    await answer('In May.');
    session.newChat();
    expect(session.snapshot()).toMatchObject({ turns: [], isChatTurn: false, tokens: {} });
    expect(session.snapshot().run).toEqual({ kind: 'idle' });
    ask('Why?');
    await expect.poll(() => last().text).toBe('Why?');
    expect(last().turns).toEqual([]);
    await answer('Because.');
    ask('The', false);
    await expect.poll(() => last().text).toBe('The');
    expect(last().turns).toEqual([]);
    session.stop();
  });

  it('clears the texts for another model, and ends its process with its tab', async () => {
    const { session, last, world } = started(['/original']);
    const done = session.generate(prompt);
    last().watch.onEvent({ of: 0, place: 0, token: token(' a'), tokensPerSecond: null });
    session.compareWith('/other');
    await done;
    expect(session.snapshot()).toMatchObject({ models: ['/original', '/other'], tokens: {} });
    session.dispose();
    expect(world.disposed).toBe(true);
  });
});
