import { describe, expect, it } from 'vitest';
import { curveSummary } from '../../../webview/heatmap/curves/curve-summary';
import { byteStep } from '../../../webview/charts/byte-step';
import { curveRows, buildCurves } from '../../../webview/heatmap/curves/curves';
import { makeEvaluation, makeModel, readProfile, makeRounds } from './heatmap-fixture';

const model = makeModel(3);
const profile = readProfile({
  rounds: makeRounds('block.2.attention', 'block.1.feedforward', 'block.0'),
  baselines: { reverse: makeRounds('block.2.feedforward'), random: [] },
  evaluations: [makeEvaluation(2, 30), makeEvaluation(0, 20), makeEvaluation(9, 99)],
});

describe('curves', () => {
  it('start at the original and count the removals on the chosen axis', () => {
    const curves = buildCurves(profile, model, 'sublayers');
    expect(curves.greedy).toEqual([
      { rounds: 0, x: 0, y: 0 },
      { rounds: 1, x: 1, y: 0.1 },
      { rounds: 2, x: 2, y: 0.2 },
      { rounds: 3, x: 4, y: 0.3 },
    ]);
    expect(buildCurves(profile, model, 'parameters').greedy.map(({ x }) => x)).toEqual([
      0, 10, 40, 80,
    ]);
    expect(buildCurves(profile, model, 'bytes').greedy.map(({ x }) => x)).toEqual([0, 20, 80, 160]);
  });

  it("have the sizes of each baseline's own order, and leave out empty ones", () => {
    expect(buildCurves(profile, model, 'parameters').baselines).toEqual([
      {
        name: 'reverse',
        points: [
          { rounds: 0, x: 0, y: 0 },
          { rounds: 1, x: 30, y: 0.1 },
        ],
      },
    ]);
  });

  it('place perplexities by their rounds, in order, and drop rounds nobody searched', () => {
    expect(buildCurves(profile, model, 'sublayers').perplexity).toEqual([
      { rounds: 0, x: 0, y: 20 },
      { rounds: 2, x: 2, y: 30 },
    ]);
  });

  it('have no origin when the distance is a perplexity, which is never zero', () => {
    const settings = { ...profile.settings, metric: 'perplexity' as const };
    const [first] = buildCurves({ ...profile, settings }, model, 'sublayers').greedy;
    expect(first).toEqual({ rounds: 1, x: 1, y: 0.1 });
  });

  it('are the same numbers as a table', () => {
    const rows = curveRows(profile, model, 'sublayers');
    expect(rows).toHaveLength(4);
    expect(rows[2]).toEqual({
      rounds: 2,
      x: 2,
      removed: 'block.1.feedforward',
      distance: 0.2,
      baselines: [undefined],
      perplexity: 30,
    });
  });

  it('are summed up in words', () => {
    const curves = buildCurves(profile, model, 'sublayers');
    expect(curveSummary({ selectedRounds: 2 }, curves, String)).toBe(
      'Line chart of the distance to the original over 3 rounds of the greedy search: 0.1 after the first round, 0.3 after the last, with 4 removed. ' +
        'Reverse order ends at 0.1. Held-out perplexity: 20 → 30. Round 2 is selected.',
    );
    expect(curveSummary({ selectedRounds: undefined }, curves, String)).toMatch(/: 20 → 30\.$/);
  });
});

it('steps bytes in round binary units, four to ten of them', () => {
  const mebi = 1024 ** 2;
  expect(byteStep(9.54 * mebi)).toBe(mebi);
  expect(byteStep(10.6 * 1024 * mebi)).toBe(2048 * mebi);
  for (let most = 1; most < 1e13; most *= 1.37) {
    const parts = most / byteStep(most);
    expect(parts).toBeGreaterThanOrEqual(4);
    expect(parts).toBeLessThanOrEqual(13);
  }
});
