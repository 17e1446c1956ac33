import { describe, expect, it } from 'vitest';
import { Asker } from '../../../webview/kit/asker';
import type { Answered } from '../../../webview/kit/asker';

/** Sends requests to a host that answers on demand. */
function start() {
  const [asked, told]: [string[], Answered<string, string>[]] = [[], []];
  const answers: ((answer: string | Error) => void)[] = [];
  const asker = new Asker<string, string>(
    async (question) => {
      asked.push(question);
      const answer = await new Promise<string | Error>((resolve) => {
        answers.push(resolve);
      });
      if (answer instanceof Error) throw answer;
      return answer;
    },
    (answered) => {
      told.push(answered);
    },
  );
  const answer = async (value: string | Error): Promise<void> => {
    answers.shift()?.(value);
    await new Promise((resolve) => {
      setTimeout(resolve);
    });
  };
  return { asker, asked, told, answer };
}

describe('questions to the host', () => {
  it('are asked again once, not for every step of a slider', async () => {
    const { asker, asked, told, answer } = start();
    for (const question of ['10', '20', '30', '40']) asker.ask(question);
    expect(asked).toEqual(['10']);
    await answer('ten');
    expect(asked).toEqual(['10', '40']);
    // The answer to an earlier question comes too late.
    expect(told).toEqual([]);
    await answer('forty');
    expect(told).toEqual([{ question: '40', ok: 'forty' }]);
    asker.ask('50');
    await answer('fifty');
    expect(told.at(-1)).toEqual({ question: '50', ok: 'fifty' });
  });

  it('report a failed request, and continue', async () => {
    const { asker, told, answer } = start();
    asker.ask('0');
    await answer(new Error('no'));
    asker.ask('1');
    await answer('one');
    expect(told).toEqual([
      { question: '0', error: 'no' },
      { question: '1', ok: 'one' },
    ]);
  });
});
