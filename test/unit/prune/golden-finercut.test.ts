import { describe, expect, it } from 'vitest';
import { metricNames, metrics } from '../../../extension/core/metrics/metrics';
import type { MetricName } from '../../../extension/core/metrics/metrics';
import { casesWith, fixture, readJson } from '../fixtures';
import { runSearch } from './run-search';

interface GoldenSearch {
  readonly calibration: { readonly inputIds: readonly (readonly number[])[] };
  readonly metrics: Readonly<
    Record<
      MetricName,
      {
        readonly order: readonly string[];
        readonly rounds: readonly {
          readonly distance: number;
          readonly distances: Readonly<Record<string, number>>;
        }[];
      }
    >
  >;
}

describe.each(casesWith('golden-finercut.json'))('FinerCut on %s against PyTorch', (name) => {
  const golden = readJson<GoldenSearch>(name, 'golden-finercut.json');
  // FinerCut's code has no tasks.
  it.each(metricNames.filter((name) => metrics[name].asksAnswers !== true))(
    '%s: same order, same distances',
    async (metric) => {
      const expected = golden.metrics[metric];
      const found = await runSearch({
        folder: fixture(name),
        sequences: golden.calibration.inputIds,
        settings: {
          metric,
          mode: 'naive',
          budget: { kind: 'count', count: expected.order.length },
        },
      });
      expect(found.rounds.map((round) => round.removed)).toEqual(expected.order);
      found.rounds.forEach((round, i) => {
        const reference = expected.rounds[i];
        for (const { sublayer, distance } of round.candidates ?? []) {
          const target = reference?.distances[sublayer] ?? Number.NaN;
          expect(Math.abs((distance ?? Number.NaN) / target - 1)).toBeLessThan(1e-4);
        }
      });
      expect(found.sublayerEvaluations).toBe(found.naiveSublayerEvaluations);
    },
  );
});
