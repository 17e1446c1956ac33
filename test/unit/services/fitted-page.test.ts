import { describe, expect, it, vi } from 'vitest';
import { say } from '../../../extension/core/message';
import type { FittedModel } from '../../../extension/core/operations/fit-model';
import { fittedPage } from '../../../extension/services/reports/pages/fitted-page';

vi.mock('vscode', () => ({
  l10n: {
    t: (text: string, ...values: readonly (string | number)[]) =>
      text.replaceAll(/\{(\d+)\}/g, (_, index) => String(values[Number(index)])),
  },
}));

const fitted: FittedModel = {
  ...{ path: '/half', source: '/model', format: 'gguf', files: [], model: '/half/model.gguf' },
  ...{ bytesBefore: 200, bytesAfter: 100, runtime: 'llama.cpp', size: '50%' },
  memory: { context: 4096, before: 300, after: 200 },
  types: { Q8_0: 60, Q4_K: 40 },
  commands: [],
} as unknown as FittedModel;
const verified = { ...fitted, verification: { relativeError: 0, tolerance: 1, tokens: 8 } };

const pageOf = (changes: Partial<FittedModel>) => fittedPage({ ...verified, ...changes });

describe('the report of a smaller model', () => {
  it('has the predicted speed that was asked for, with its origin', () => {
    const speed = { asked: 20, before: 11.4, after: 23.1, source: 'llama.cpp' } as const;
    const tiles = (one: FittedModel['speed']) =>
      pageOf(one === undefined ? {} : { speed: one }).sections[0]?.tiles ?? [];
    expect(tiles(speed).find(({ name }) => name === 'Predicted decode')).toEqual({
      name: 'Predicted decode',
      value: '11.4 → 23.1 tokens/s',
      note: 'requested at least 20.0, from types timed in llama.cpp',
    });
    const phone = { ...speed, source: 'bandwidth', machine: 'phone' } as const;
    expect(tiles(phone).map(({ note }) => note)).toContain(
      'requested at least 20.0, from the memory bandwidth of Phone with 8 GB',
    );
    const unasked = { before: 11.4, after: 23.1, source: 'bandwidth' } as const;
    expect(tiles(unasked).map(({ note }) => note)).toContain(
      'from the memory bandwidth; to measure it, run Espalier: Install llama.cpp',
    );
    expect(tiles(undefined).map(({ name }) => name)).not.toContain('Predicted decode');
  });

  it('reports why the model was not evaluated', () => {
    expect(pageOf({ unevaluated: say`The model has no tokenizer.json.` }).notices).toEqual([
      'It was not evaluated: The model has no tokenizer.json.',
    ]);
    expect(pageOf({}).notices).toEqual([]);
  });

  it('reports a predicted speed below the requested one', () => {
    const speed = { asked: 20, before: 11.4, after: 19.2, source: 'llama.cpp' } as const;
    const tile = pageOf({ speed }).sections[0]?.tiles?.find(
      ({ name }) => name === 'Predicted decode',
    );
    expect(tile?.note).toBe('below the requested 20.0, from types timed in llama.cpp');
  });

  it('names the rounding of a type', () => {
    const texts = (rounding: FittedModel['rounding']) =>
      pageOf(rounding === undefined ? {} : { rounding }).sections.at(-1)?.texts;
    expect(texts('feedback')).toEqual([
      'Rounding: with error feedback on calibration text (GPTQ).',
    ]);
    expect(texts('distill')).toEqual([
      'Rounding: with error feedback on calibration text (GPTQ), then trained to give the logits of the original.',
    ]);
    expect(texts('importance')).toEqual(['Rounding: by an importance matrix of calibration text.']);
    expect(texts('nearest')).toEqual(['Rounding: each weight to the nearest value.']);
    expect(texts(undefined)).toBeUndefined();
  });
});
