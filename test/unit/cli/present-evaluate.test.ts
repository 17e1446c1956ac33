import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { evaluate } from '../../../extension/cli/present/evaluate';
import { Terminal } from '../../../extension/cli/terminal';
import type { Evaluated } from '../../../extension/core/operations/evaluate';

const common = {
  ...{ format: 'espalier.evaluation', version: 1, removed: 0 },
  evaluated: { name: 'small', path: 'small' },
} as unknown as Evaluated;

function printed(result: object): string {
  const out = new PassThrough();
  evaluate.print(
    { ...common, ...result },
    {
      terminal: new Terminal(out as never, new PassThrough() as never),
      ...{ request: { model: 'small', against: 'whole' }, options: {} },
    },
  );
  return String(out.read()).replaceAll('\u00a0', ' ');
}

const text = { perplexity: 33, tokens: 2040, tokensPerSecond: 50 };

it('prints the agreement of two models with intervals', () => {
  const shown = printed({
    ...{ ...text, against: { ...text, perplexity: 30 } },
    klDivergence: { value: 0.0123, low: 0.0101, high: 0.0145 },
    agreement: { value: 0.931, low: 0.918, high: 0.942 },
  });
  expect(shown).toContain('KL divergence: 0.0123 nats per token (95 % interval 0.0101 to 0.0145)');
  expect(shown).toContain('Top-1 agreement: 93.1 % (95 % interval 91.8 to 94.2 %)');
});

it('prints nothing about predictions that were not compared', () => {
  expect(printed({ ...text, against: text })).not.toMatch(/KL divergence|agreement/);
});

it('reports changed answers, retained accuracy, and significance', () => {
  const task = {
    task: 'questions.jsonl',
    kind: 'multiple-choice',
    examples: 150,
    acc: 0.6,
    accError: 0.04,
  };
  const compared = { gained: 3, lost: 5, chance: 0.727, retention: 0.978 };
  const unsure = { value: -2 / 150, low: -0.05, high: 0.024 };
  const shown = printed({ ...task, against: task, compared: { ...compared, difference: unsure } });
  expect(shown).toContain('acc: no significant difference from whole with 150 examples');
  expect(shown).toContain('3 wrong → right, 5 right → wrong (McNemar p = 0.73)');
  expect(shown).toContain('Accuracy retained: 98 %');
  const sure = { value: -0.1, low: -0.15, high: -0.05 };
  const { retention: _, ...without } = compared;
  const lost = printed({ ...task, against: task, compared: { ...without, difference: sure } });
  expect(lost).toContain('acc: −10.0 points from whole (95 % interval −15.0 to −5.0)');
  expect(lost).not.toContain('retained');
});
