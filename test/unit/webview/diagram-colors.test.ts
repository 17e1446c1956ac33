import { expect, it } from 'vitest';
import { driftColors, importanceScale } from '../../../webview/explorer/color-scale';

const at = (sublayer: string, relativeError: number) => ({
  ...{ sublayer, removed: false, relativeError, cosine: 1 },
  worst: { window: 0, position: 3, token: ' fox', relativeError },
});

it('colors the diagram by drift, and names its start', () => {
  const worst = { window: 0, position: 3, token: ' fox', relativeError: 0.5 };
  const colors = driftColors({
    ...{ positions: 8, limit: 0.1, starts: 'block.1.attention', startsAt: [worst] },
    sublayers: [
      at('block.0.attention', 0),
      at('block.0.feedforward', 0.00004),
      at('block.1.attention', 0.4),
    ],
  });
  // Values below 0.001 are at the start, so that the scale is readable.
  expect(colors?.low).toMatch(/^0\.1\s%$/);
  expect(colors?.high).toMatch(/^40\s%$/);
  expect(colors?.positions({ sublayers: ['block.0.attention'] })).toEqual([0]);
  expect(colors?.positions({ sublayers: ['block.0.feedforward'] })).toEqual([0]);
  expect(colors?.positions({ sublayers: ['block.1.attention'] })).toEqual([1]);
  expect(colors?.positions({ sublayers: ['block.2.attention'] })).toEqual([undefined]);
  expect(colors?.describe({ sublayers: ['block.0.attention', 'block.1.attention'] })).toMatch(
    /^drift 40\.0\s%$/,
  );
  expect(colors?.describe({ sublayers: [] })).toBeUndefined();
  expect(colors?.note).toMatch(
    /^Drift reaches 10\s% after block\.1\.attention\. Largest there: " fox" \(token 3, 50\.0\s%\)\.$/,
  );
  expect(driftColors(undefined)).toBeUndefined();
});

it('colors it by importance, per block if only blocks were measured', () => {
  const colors = importanceScale({
    ...{ metric: 'js', stale: true },
    sublayers: [
      { id: 'block.0', distance: 0.01, isBound: false },
      { id: 'block.1', distance: 1, isBound: true },
    ],
  });
  expect(colors?.positions({ sublayers: ['block.0.attention'] })).toEqual([0]);
  expect(colors?.describe({ sublayers: ['block.0.attention', 'block.1.attention'] })).toBe(
    'distance when removed 0.01 – 1, large',
  );
  expect(colors?.warning).toBe('The profile was made for other weights.');
});
