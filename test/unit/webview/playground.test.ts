import { describe, expect, it } from 'vitest';
import { viewFrom } from '../../../webview/kit/saved-view';
import { readPrompt } from '../../../webview/playground/read-prompt';
import { splitColumns, firstDifference } from '../../../webview/playground/texts';
import { savedView } from '../../../webview/playground/view-state';

const token = (text: string) => ({ text, probability: 0.5, likeliest: [] });
const columns = (...texts: readonly (readonly string[])[]) => texts.map((one) => one.map(token));

describe('texts next to each other', () => {
  it('are put together from tokens in any order', () => {
    const tokens = {
      '1.0': token('x'),
      '0.1': token('b'),
      '0.0': token('a'),
      '0.10': token('late'),
    };
    expect(splitColumns(tokens, 2)).toEqual(columns(['a', 'b'], ['x']));
  });

  it('first differ at a token that both have, not at the end of the shorter text', () => {
    expect(firstDifference(columns(['a', 'b', 'c'], ['a', 'x', 'c']))).toBe(1);
    expect(firstDifference(columns(['a', 'b', 'c'], ['a', 'b']))).toBeUndefined();
    expect(firstDifference(columns(['a']))).toBeUndefined();
  });
});

describe('the form', () => {
  const view = { ...viewFrom(savedView, undefined), prompt: 'The' };

  it('requests 64 greedy tokens, with limits only if entered', () => {
    const prompt = { prompt: 'The', chat: false, tokens: 64, temperature: 0, seed: 0 };
    expect(readPrompt(view, false)).toEqual({ prompt });
    expect(readPrompt(view, true)).toEqual({ prompt: { ...prompt, chat: true } });
    expect(readPrompt({ ...view, chat: false }, true)).toEqual({ prompt });
    expect(readPrompt({ ...view, topK: '40', topP: ' 0.9 ' }, false)).toEqual({
      prompt: { ...prompt, topK: 40, topP: 0.9 },
    });
  });

  it.each([
    ['prompt', ''],
    ['tokens', '0'],
    ['tokens', ''],
    ['temperature', '-1'],
    ['temperature', 'hot'],
    ['topK', '1.5'],
    ['topP', '2'],
    ['seed', ''],
  ])('names the field that is wrong: %s "%s"', (field, text) => {
    expect(readPrompt({ ...view, [field]: text }, false)).toEqual({ wrong: field });
  });
});
