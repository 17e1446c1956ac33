import { expect, it } from 'vitest';
import { driftColours, importanceScale } from '../../../webview/explorer/colour-scale';

const at = (sublayer: string, relativeError: number) => ({
  ...{ sublayer, removed: false, relativeError, cosine: 1 },
  worst: { window: 0, position: 3, token: ' fox', relativeError },
});

it('colours the diagram by drift, and says where it starts', () => {
  const worst = { window: 0, position: 3, token: ' fox', relativeError: 0.5 };
  const colours = driftColours({
    ...{ positions: 8, limit: 0.1, starts: 'block.1.attention', startsAt: [worst] },
    sublayers: [
      at('block.0.attention', 0),
      at('block.0.feedforward', 0.00004),
      at('block.1.attention', 0.4),
    ],
  });
  // What is below a thousandth is at the quiet end, so that the numbers of the scale can be read.
  expect(colours?.low).toMatch(/^0\.1\s%$/);
  expect(colours?.high).toMatch(/^40\s%$/);
  expect(colours?.positions({ sublayers: ['block.0.attention'] })).toEqual([0]);
  expect(colours?.positions({ sublayers: ['block.0.feedforward'] })).toEqual([0]);
  expect(colours?.positions({ sublayers: ['block.1.attention'] })).toEqual([1]);
  expect(colours?.positions({ sublayers: ['block.2.attention'] })).toEqual([undefined]);
  expect(colours?.describe({ sublayers: ['block.0.attention', 'block.1.attention'] })).toMatch(
    /^drift 40\.0\s%$/,
  );
  expect(colours?.describe({ sublayers: [] })).toBeUndefined();
  expect(colours?.note).toMatch(
    /^Drift reaches 10\s% after block\.1\.attention\. Largest there: " fox" \(token 3, 50\.0\s%\)\.$/,
  );
  expect(driftColours(undefined)).toBeUndefined();
});

it('colours it by importance, of a block where only blocks were measured', () => {
  const colours = importanceScale({
    ...{ metric: 'js', stale: true },
    sublayers: [
      { id: 'block.0', distance: 0.01, isBound: false },
      { id: 'block.1', distance: 1, isBound: true },
    ],
  });
  expect(colours?.positions({ sublayers: ['block.0.attention'] })).toEqual([0]);
  expect(colours?.describe({ sublayers: ['block.0.attention', 'block.1.attention'] })).toBe(
    'distance when removed 0.01 – 1, large',
  );
  expect(colours?.warning).toBe('The profile was made for other weights.');
});
