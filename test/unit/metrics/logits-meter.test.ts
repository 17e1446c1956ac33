import { availableParallelism } from 'node:os';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LogitsMeter, logitsPerCore } from '../../../extension/core/metrics/logits-meter';
import type { CandidateInput } from '../../../extension/core/metrics/logits-meter';
import { metricNames, metrics } from '../../../extension/core/metrics/metrics';
import type { MetricName } from '../../../extension/core/metrics/metrics';
import { openModel } from '../../../extension/core/models/open-model';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { floatTensor, int64Tensor } from '../../../extension/core/runtime/tensors';
import { fixture } from '../fixtures';
import { randomRuns } from '../sample';

/** Terms of one row, in float64, as their definitions have them. */
const references: Readonly<
  Record<MetricName, (z: readonly number[], changed: readonly number[], next: number) => number>
> = {
  js: (z, changed) => {
    const [p, q] = [softmax(z), softmax(changed)];
    const m = p.map((x, i) => (x + (q[i] ?? 0)) / 2);
    return (divergence(p, m) + divergence(q, m)) / 2;
  },
  'js-reference': (z, changed) => {
    const [p, q] = [softmax(z), softmax(changed)];
    const m = p.map((x, i) => (x + (q[i] ?? 0)) / 2);
    return (divergence(m, p) + divergence(m, q)) / 2;
  },
  kl: (z, changed) => {
    const [p, logP, logQ] = [softmax(z), logSoftmax(z), logSoftmax(changed)];
    return p.reduce((sum, x, i) => sum + x * ((logP[i] ?? 0) - (logQ[i] ?? 0)), 0);
  },
  norm: (z, changed) => z.reduce((sum, x, i) => sum + (x - (changed[i] ?? 0)) ** 2, 0),
  angular: (z, changed) => {
    const dot = (a: readonly number[], b: readonly number[]): number =>
      a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0);
    const cosine = dot(z, changed) / Math.sqrt(dot(z, z) * dot(changed, changed));
    return Math.acos(Math.min(1, Math.max(0, cosine)));
  },
  perplexity: nextTokenLoss,
  answers: nextTokenLoss,
  accuracy: (_, changed, next) =>
    next < 0 || changed.indexOf(Math.max(...changed)) === next ? 0 : 1,
};

function nextTokenLoss(_: readonly number[], changed: readonly number[], next: number): number {
  return next < 0 ? 0 : -(logSoftmax(changed)[next] ?? 0);
}

function logSoftmax(z: readonly number[]): number[] {
  const largest = Math.max(...z);
  const log = largest + Math.log(z.reduce((sum, x) => sum + Math.exp(x - largest), 0));
  return z.map((x) => x - log);
}

function softmax(z: readonly number[]): number[] {
  return logSoftmax(z).map(Math.exp);
}

function divergence(p: readonly number[], q: readonly number[]): number {
  return p.reduce((sum, x, i) => sum + (x === 0 ? 0 : x * Math.log(x / (q[i] ?? 0))), 0);
}

/** Roughly normal numbers. */
function normals(seed: number, count: number): number[] {
  let state = seed >>> 0;
  const uniform = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  return Array.from({ length: count }, () =>
    Array.from({ length: 12 }, uniform).reduce((sum, x) => sum + x, -6),
  );
}

let executor: LayeredExecutor;
beforeAll(async () => {
  executor = new LayeredExecutor(await openModel(fixture('llama-gqa-untied')), 'cpu', 1 << 30);
});
afterAll(async () => executor.dispose());

/** Terms [batch][rows] of logits, by the meter. */
async function measure(
  name: MetricName,
  given: CandidateInput,
  z: readonly number[][],
  candidates: readonly (readonly number[][])[],
  next: readonly number[],
): Promise<Float32Array> {
  const meter = new LogitsMeter(executor, name, metrics[name], given);
  const [rows, width] = [z.length, z[0]?.length ?? 0];
  const original = Float32Array.from(z.flat());
  const numbers = Float32Array.from(candidates.flat(2), (x, i) =>
    given === 'change' ? x - (original[i % original.length] ?? 0) : x,
  );
  return meter.terms(
    meter.readsOriginal ? await meter.readOriginal(floatTensor(original, [1, rows, width])) : {},
    floatTensor(numbers, [candidates.length, rows, width]),
    int64Tensor(next, [1, rows]),
  );
}

describe.each(metricNames)('%s', (name) => {
  const reference = references[name];
  const comparesWithOriginal = metrics[name].reads.includes('change');
  const givens: readonly CandidateInput[] = comparesWithOriginal
    ? ['candidate', 'change']
    : ['candidate'];

  it.each(givens)('equals its definition, given the %s', async (given) => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          seed: fc.integer({ min: 1, max: 1_000_000 }),
          // With blocks and without, a prime among them.
          width: fc.constantFrom(2, 7, 40, 1031, 4096),
          size: fc.constantFrom(0.01, 0.1, 1, 4),
          offset: fc.constantFrom(0, -3, 5),
          peak: fc.constantFrom(0, 10),
        }),
        async ({ seed, width, size, offset, peak }) => {
          const numbers = normals(seed, 5 * width).map(Math.fround);
          const row = (i: number): number[] => numbers.slice(i * width, (i + 1) * width);
          const z = [row(0), row(1)].map((logits) =>
            logits.map((x, i) => Math.fround(3 * x + (i === 1 ? peak : 0))),
          );
          const changed = (changes: number[], logits: number[]): number[] =>
            logits.map((x, i) => Math.fround(x + size * (changes[i] ?? 0) + offset));
          const candidates = [
            z.map((logits, i) => changed(row(2 + i), logits)),
            z.map((logits, i) => changed(row(3 + i), logits)),
          ];
          const next = [1, -1];
          const found = await measure(name, given, z, candidates, next);
          const expected = candidates.flatMap((candidate) =>
            candidate.map((logits, i) => reference(z[i] ?? [], logits, next[i] ?? -1)),
          );
          expect(found).toHaveLength(expected.length);
          expected.forEach((term, i) => {
            const error = Math.abs((found[i] ?? Number.NaN) - term);
            // A common offset cancels in float32, up to the rounding of numbers of its size: the angle
            // has that of their squares.
            const rounding = (name === 'angular' ? 3e-5 : 1e-6) * Math.abs(offset);
            expect(error).toBeLessThan(3e-6 + rounding + 3e-4 * Math.abs(term));
            expect(found[i]).toBeGreaterThanOrEqual(0);
          });
        },
      ),
      { numRuns: randomRuns(15, 4) },
    );
  });

  it.each(givens)('stays finite for large changes, given the %s', async (given) => {
    const z = [[10, 0, -5, 3]];
    const candidates = [[[-190, 0, 100, 3]], [[300, 310, 290, 300]], [[-290, -300, -310, -295]]];
    const found = await measure(name, given, z, candidates, [2]);
    candidates.forEach(([logits = []], i) => {
      const term = reference(z[0] ?? [], logits, 2);
      expect(Math.abs((found[i] ?? Number.NaN) - term)).toBeLessThan(1e-5 + 1e-4 * term);
    });
  });

  it.each(givens)(
    'stays accurate for small distances if all logits drop, given the %s',
    async (given) => {
      const [z, changed] = [
        [0, 80],
        [-40.5, -40],
      ];
      const [found = Number.NaN] = await measure(name, given, [z], [[changed]], [1]);
      const term = reference(z, changed, 1);
      expect(Math.abs(found - term)).toBeLessThan(1e-5 + 1e-4 * term);
    },
  );

  it('is 0 for unchanged logits', async () => {
    const z = [normals(3, 4096).map((x) => Math.fround(5 * x))];
    const [term = Number.NaN] = await measure(name, 'candidate', z, [z], [5]);
    const target = comparesWithOriginal ? 0 : reference(z[0] ?? [], z[0] ?? [], 5);
    expect(Math.abs(term - target)).toBeLessThan(1e-6 * Math.max(1, target));
  });
});

it('terms over several chunks of logits equal those of single rows', async () => {
  const width = 1 << 16;
  const rows = 1 + Math.ceil((availableParallelism() * logitsPerCore) / width / 2);
  const row = (seed: number): number[] => {
    const few = normals(seed, 1031);
    return Array.from({ length: width }, (_, i) => few[(i * seed) % few.length] ?? 0);
  };
  const z = Array.from({ length: rows }, (_, i) => row(i + 1));
  const candidates = [7, 11].map((by) => z.map((_, i) => row(by * (i + 1))));
  const next = z.map((_, i) => i);
  for (const name of ['js', 'perplexity'] as const) {
    const found = await measure(name, 'candidate', z, candidates, next);
    const one = async (of: number, i: number): Promise<Float32Array> =>
      measure(name, 'candidate', z.slice(i, i + 1), [candidates[of]?.slice(i, i + 1) ?? []], [i]);
    expect(found).toHaveLength(2 * rows);
    for (const [of, i] of [
      [0, 0],
      [0, rows - 1],
      [1, 0],
      [1, rows - 1],
    ] as const) {
      const [term = Number.NaN] = await one(of, i);
      expect(found[of * rows + i]).toBeCloseTo(term, 5);
    }
  }
});
