import { describe, expect, it } from 'vitest';
import { parseProgram } from '../../../extension/core/symbolic/language/parse-term';
import { refit } from '../../../extension/core/symbolic/search/refit';
import type { RefitOptions } from '../../../extension/core/symbolic/search/refit';
import { archivedLibrary } from './vectors';

const library = archivedLibrary(1);
const programs = ['(fn_0 identity)', '(fn_0 (add (next_port (connect identity))))'].map((text) =>
  parseProgram(text, library),
);

function weights(options: RefitOptions): Map<string, number> {
  const { entries } = refit(library, programs, options);
  return new Map(entries.map(({ name, logWeight }) => [name, logWeight]));
}

describe('refitting', () => {
  it('has the weights of the released code', () => {
    for (const [name, weight] of weights({ legacyWeights: true })) {
      const used = name === 'fn_0' || name === 'identity';
      const rare = ['next_port', 'add', 'connect'].includes(name);
      const expected = used
        ? -0.02730794504315437
        : rare
          ? -0.055382551266420776
          : -0.05538256350199067;
      expect(weight, name).toBeCloseTo(expected, 14);
    }
  });

  it('weighs entries by use, before it draws them together', () => {
    for (const [name, weight] of weights({ maxDifference: Infinity })) {
      const used = name === 'fn_0' || name === 'identity';
      const rare = ['next_port', 'add', 'connect'].includes(name);
      expect(weight, name).toBeCloseTo(used ? -0.6938 : rare ? -7.0425 : -7.6025, 4);
    }
  });

  it('draws weights together around their mean', () => {
    const raw = [...weights({ maxDifference: Infinity }).values()];
    const drawn = [...weights({}).values()];
    const mean = (values: readonly number[]): number =>
      values.reduce((sum, value) => sum + value, 0) / values.length;
    expect(Math.max(...drawn) - Math.min(...drawn)).toBeCloseTo(0.5, 12);
    expect(mean(drawn)).toBeCloseTo(mean(raw), 12);
  });

  it('leaves a library alone that no program is known of', () => {
    expect(refit(library, [])).toBe(library);
  });
});
