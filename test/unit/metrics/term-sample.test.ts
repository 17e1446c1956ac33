import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../extension/core/data/random';
import { metrics } from '../../../extension/core/metrics/metrics';
import { sumTermsByBlock } from '../../../extension/core/metrics/slices';
import { TermSample } from '../../../extension/core/metrics/term-sample';

const sequences = 4;
const rows = 64;

/** A sample of the first sequences, given all terms. */
function sampleValue(terms: readonly Float32Array[], measured: number): TermSample {
  const sample = new TermSample(
    metrics.js,
    terms.map(({ length }) => length),
  );
  terms.slice(0, measured).forEach((all, sequence) => {
    sample.add({ sequence, from: 0, to: all.length }, sumTermsByBlock(all));
  });
  return sample;
}

/** Terms that differ much between rows and sequences, as those of texts do. */
function heavyTerms(seed: number): Float32Array[] {
  return Array.from({ length: sequences }, (_, sequence) =>
    Float32Array.from({ length: rows }, (_, row) => {
      const draw = Math.abs(Math.sin(1 + seed * 71 + sequence * 1009 + row * 13.7));
      return (sequence === 0 ? 5 : 1) * draw ** 8;
    }),
  );
}

describe('the logarithm of a ratio', () => {
  it('has no error for proportional changes', () => {
    const reference = heavyTerms(1);
    const change = reference.map((all) => all.map((term) => 3 * term));
    const { value, standardError } = sampleValue(change, 2).logRatio(sampleValue(reference, 2));
    expect(value).toBeCloseTo(Math.log(3), 5);
    expect(standardError).toBeLessThan(1e-5);
    const nothing = reference.map((all) => all.map(() => 0));
    expect(sampleValue(nothing, 2).logRatio(sampleValue(reference, 2))).toEqual({
      value: Number.NEGATIVE_INFINITY,
      standardError: 0,
    });
  });

  it('is within two standard errors 19 times out of 20, for any correlation between rows', () => {
    const random = seededRandom(5);
    const draw = (): number => -Math.log(1 - random());
    const within = Array.from({ length: 300 }, () => {
      const common = Array.from({ length: rows }, () => 0.1 + draw() ** 2);
      const noisy = (): Float32Array => Float32Array.from(common, (term) => term * draw());
      const [a, b] = [sampleValue([noisy()], 1), sampleValue([noisy()], 1)];
      const { value, standardError } = a.logRatio(b);
      return Math.abs(value) < 2 * standardError;
    });
    const share = within.filter(Boolean).length / within.length;
    expect(share).toBeGreaterThan(0.95);
  });
});

describe('a distance estimated from another change', () => {
  it('is exact, without an error, if the changes are proportional', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1000 }),
        fc.double({ min: 0.01, max: 100, noNaN: true }),
        fc.integer({ min: 1, max: sequences - 1 }),
        (seed, factor, measured) => {
          const reference = heavyTerms(seed);
          const change = reference.map((all) => all.map((term) => factor * term));
          const found = sampleValue(change, measured).distanceBy(sampleValue(reference, sequences));
          const { distance } = sampleValue(change, sequences).distance();
          expect(found.distance / distance).toBeCloseTo(1, 4);
          expect((found.standardError ?? Number.NaN) / distance).toBeLessThan(1e-3);
        },
      ),
    );
  });

  it('is within its errors, and more precise than the rows alone, if they also differ', () => {
    const seeds = Array.from({ length: 60 }, (_, i) => i);
    const errors = seeds.map((seed) => {
      const reference = heavyTerms(seed);
      const change = reference.map((all, sequence) =>
        all.map((term, row) => term * (1.2 + Math.sin(seed + 3 * sequence + 5 * row))),
      );
      const sample = sampleValue(change, 1);
      const { distance: truth } = sampleValue(change, sequences).distance();
      const { distance, standardError = Number.NaN } = sample.distanceBy(
        sampleValue(reference, sequences),
      );
      return {
        byReference: Math.abs(distance / truth - 1),
        alone: Math.abs(sample.distance().distance / truth - 1),
        errors: Math.abs(distance - truth) / standardError,
      };
    });
    const mean = (value: (one: (typeof errors)[number]) => number): number =>
      errors.reduce((sum, one) => sum + value(one), 0) / errors.length;
    expect(mean((one) => one.byReference)).toBeLessThan(mean((one) => one.alone) / 4);
    expect(Math.max(...errors.map((one) => one.errors))).toBeLessThan(4);
  });

  it('is exact once measured on all rows, or if the other change has no effect', () => {
    const change = heavyTerms(3);
    const whole = sampleValue(change, sequences);
    expect(whole.distanceBy(sampleValue(heavyTerms(4), sequences))).toEqual({
      distance: whole.distance().distance,
    });
    const nothing = change.map((all) => all.map(() => 0));
    const part = sampleValue(change, 2);
    expect(part.distanceBy(sampleValue(nothing, sequences))).toEqual(part.distance());
  });
});
