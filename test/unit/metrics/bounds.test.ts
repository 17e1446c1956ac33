import { rm } from 'node:fs/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { seededRandom } from '../../../extension/core/data/random';
import { unattended } from '../../../extension/core/jobs/job';
import { leastProbability } from '../../../extension/core/metrics/distances';
import { LogitsMeter } from '../../../extension/core/metrics/logits-meter';
import { boundedIds } from '../../../extension/core/metrics/logits-readout';
import { createReadout } from '../../../extension/core/metrics/metric-readout';
import { metricNames, metrics } from '../../../extension/core/metrics/metrics';
import { mostProbableIds } from '../../../extension/core/metrics/vocabulary-sample';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import { compressModel } from '../../../extension/core/pipelines/compression/compress-model';
import { Head } from '../../../extension/core/runtime/head';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { floatTensor, int64Tensor } from '../../../extension/core/runtime/tensors';
import type { Tensor } from '../../../extension/core/runtime/tensors';
import { fixture } from '../fixtures';
import { makeRandomModel } from '../random-model';
import { finalStates } from './final-states';
import { randomRuns } from '../sample';

const bounding = ['js', 'kl'] as const;

function logSum(logits: readonly number[]): number {
  const largest = Math.max(...logits);
  return largest + Math.log(logits.reduce((sum, x) => sum + Math.exp(x - largest), 0));
}

function softmax(logits: readonly number[]): number[] {
  const log = logSum(logits);
  return logits.map((x) => Math.exp(x - log));
}

const divergence = (p: readonly number[], q: readonly number[]): number =>
  p.reduce((sum, x, i) => sum + (x === 0 ? 0 : x * Math.log(x / (q[i] ?? 0))), 0);

const truths = {
  js: (p: readonly number[], q: readonly number[]): number => {
    const m = p.map((x, i) => (x + (q[i] ?? 0)) / 2);
    return (divergence(p, m) + divergence(q, m)) / 2;
  },
  kl: divergence,
};

/** In float64, with the probabilities that terms are taken of: none is below the least. */
function exactTerm(name: (typeof bounding)[number], { z, changed }: Pair): number {
  const p = softmax(z).map((x) => Math.max(x, leastProbability));
  const change = (i: number): number => (changed[i] ?? 0) - (z[i] ?? 0);
  return truths[name](p, softmax(p.map((x, i) => Math.log(x) + change(i))));
}

/** Logits of one row and those of a changed model. */
interface Pair {
  readonly z: readonly number[];
  readonly changed: readonly number[];
}

/** Pairs that rounding and missing ids do the worst to. */
const pairs = fc
  .record({
    seed: fc.integer({ min: 1, max: 1_000_000 }),
    width: fc.constantFrom(2, 7, 40, 1031, 4096),
    spread: fc.constantFrom(0, 0.1, 1, 5, 40),
    change: fc.constantFrom(0, 1e-4, 0.01, 0.3, 3, 40),
    /** Added to one logit of the original, and to one of the changed model's. */
    peaks: fc.tuple(fc.constantFrom(0, 10, 90), fc.constantFrom(0, 10, 90)),
    isSamePeak: fc.boolean(),
    offset: fc.constantFrom(0, -3, 55, -55, 200),
  })
  .map(({ seed, width, spread, change, peaks, isSamePeak, offset }): Pair => {
    const random = seededRandom(seed);
    const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(7 * random());
    const [first, second] = [Math.floor(random() * width), Math.floor(random() * width)];
    const at = isSamePeak ? first : second;
    const z = Array.from({ length: width }, (_, i) => {
      return Math.fround(spread * normal() + (i === first ? peaks[0] : 0));
    });
    const changed = z.map((x, i) => {
      const own = isSamePeak || i !== first ? x : x - peaks[0];
      return Math.fround(own + change * normal() + (i === at ? peaks[1] : 0) + offset);
    });
    return { z, changed };
  });

let executor: LayeredExecutor;
beforeAll(async () => {
  executor = new LayeredExecutor(await openModel(fixture('llama-gqa-untied')), 'cpu', 1 << 30);
});
afterAll(async () => executor.dispose());

/** The bound of one row from some ids, and the term itself as it is computed over all. */
async function measure(
  name: (typeof bounding)[number],
  { z, changed }: Pair,
  ids: readonly number[],
): Promise<{ readonly bound: number; readonly term: number }> {
  const metric = metrics[name];
  const { emitBounds = metric.emitTerms } = metric;
  const row = (numbers: readonly number[]): Tensor =>
    floatTensor(Float32Array.from(numbers), [1, 1, numbers.length]);
  const changes = z.map((x, i) => (changed[i] ?? 0) - x);
  const at = (numbers: readonly number[]): Tensor => row(ids.map((id) => numbers[id] ?? 0));
  const run = async (meter: LogitsMeter, logits: Tensor, given: Tensor, sum?: Tensor) => {
    const read = await meter.readOriginal(logits, sum);
    const [value = Number.NaN] = await meter.terms(read, given, int64Tensor([-1], [1, 1]));
    return value;
  };
  const whole = new LogitsMeter(executor, name, metric, 'change');
  const some = new LogitsMeter(
    executor,
    `${name}.bounds`,
    { ...metric, emitTerms: emitBounds },
    'change',
  );
  const sums = floatTensor(Float32Array.of(logSum(z)), [1, 1, 1]);
  const bound = await run(some, at(z), at(changes), sums);
  // As readouts take what is no number.
  return { bound: bound > 0 ? bound : 0, term: await run(whole, row(z), row(changes)) };
}

describe.each(bounding)('a bound of %s', (name) => {
  it('is at most the term, computed or exact, for any ids', async () => {
    await fc.assert(
      fc.asyncProperty(
        pairs,
        fc.double({ min: 0.01, max: 1, noNaN: true }),
        fc.boolean(),
        async (pair, share, areLikeliest) => {
          const count = Math.max(1, Math.floor(share * pair.z.length));
          const all = [...pair.z.keys()];
          const ordered = areLikeliest
            ? all.sort((a, b) => (pair.z[b] ?? 0) - (pair.z[a] ?? 0))
            : all;
          const { bound, term } = await measure(name, pair, ordered.slice(0, count));
          expect(bound).toBeLessThanOrEqual(term);
          expect(bound).toBeLessThanOrEqual(Math.max(0, exactTerm(name, pair)));
        },
      ),
      { numRuns: randomRuns(200, 50) },
    );
  });

  it('equals the term up to the slack if all ids are included', async () => {
    await fc.assert(
      fc.asyncProperty(pairs, async (pair) => {
        const { bound, term } = await measure(name, pair, [...pair.z.keys()]);
        const largest = Math.max(...pair.changed.map((x, i) => Math.abs(x - (pair.z[i] ?? 0))));
        expect(bound).toBeGreaterThan(0.995 * term - 4e-5 - 1e-6 * largest);
      }),
      { numRuns: randomRuns(100, 25) },
    );
  });

  it('is valid and excludes most distant candidates, on a model that is sure of few ids', async () => {
    const vocabulary = 3 * boundedIds;
    const folder = await makeRandomModel({ seed: 3, blocks: 2, vocabulary, headSpread: 2 });
    const model = await openModel(folder);
    const peaked = new LayeredExecutor(model, 'cpu', 1 << 30);
    // Not known to have the same head, so that logits are subtracted.
    const other = new LayeredExecutor(model, 'cpu', 1 << 30);
    const ids = Int32Array.from({ length: 96 }, (_, i) => (7919 * i + 3) % vocabulary);
    try {
      const [original, ...candidates] = await finalStates(peaked, ids);
      const terms = await createReadout(peaked, name, metrics[name]).rowTerms(
        ids,
        original,
        candidates,
      );
      for (const by of [peaked, other]) {
        const options = { vocabulary: 'bounded', original: by } as const;
        const bounded = createReadout(peaked, name, metrics[name], options);
        expect(bounded.vocabulary).toBe('bounded');
        const bounds = await bounded.rowTerms(ids, original, candidates);
        for (const [i, own] of terms.entries()) {
          own.forEach((term, row) => {
            expect(bounds[i]?.[row] ?? Number.NaN).toBeLessThanOrEqual(term);
          });
          const sum = (rows: Float32Array = Float32Array.of(0)): number =>
            rows.reduce((total, term) => total + term, 0);
          expect(sum(bounds[i]) / sum(own)).toBeGreaterThan(0.8);
        }
      }
    } finally {
      await peaked.dispose();
      await other.dispose();
      await rm(folder, { recursive: true });
    }
  });
});

/** Terms of a model that can be bounded. */
async function makeVocabulary(folder: string, memoryBytes = 1 << 30): Promise<string> {
  const own = new LayeredExecutor(await openModel(folder), 'cpu', memoryBytes);
  const { vocabulary } = createReadout(own, 'js', metrics.js, { vocabulary: 'bounded' });
  await own.dispose();
  return vocabulary;
}

it('bounds no logits that are made otherwise than those of a few ids', async () => {
  const folder = await makeRandomModel({ seed: 3, blocks: 1, vocabulary: 3 * boundedIds });
  const [layer, head] = ['model.layers.0.mlp.up_proj.weight', 'lm_head.weight'];
  const ways = [
    { method: 'int8', setting: 0 },
    { method: 'int4', setting: 16 },
  ] as const;
  const [int8] = ways;
  const over = async (tensor: string, way: (typeof ways)[number]): Promise<string> => {
    const out = `${folder}-${way.method}`;
    const model = await openModelFiles(folder);
    const choices = [{ tensor, ...way }];
    await compressModel(
      { model, choices, out, overwrite: true, device: 'cpu', memoryBytes: 1 << 30 },
      unattended,
    );
    const found = await makeVocabulary(out);
    await rm(out, { recursive: true });
    return found;
  };
  expect(await over(layer, int8)).toBe('bounded');
  for (const way of ways) {
    expect(await over(head, way)).toBe('whole');
  }
  await rm(folder, { recursive: true });
});

it('leaves the session over all ids its half of the memory', async () => {
  const folder = await makeRandomModel({ seed: 3, blocks: 1, vocabulary: 3 * boundedIds });
  // 64 rows of 8 192 ids in six arrays, and their weights, are 13 MB.
  for (const [memoryBytes, readoutBytes, expected] of [
    [1 << 27, 20e6, 'whole'],
    [1 << 28, 30e6, 'bounded'],
  ] as const) {
    const own = new LayeredExecutor(await openModel(folder), 'cpu', memoryBytes);
    expect(own.shares.readoutBytes / readoutBytes).toBeCloseTo(1, 0);
    await own.dispose();
    expect(await makeVocabulary(folder, memoryBytes)).toBe(expected);
  }
  await rm(folder, { recursive: true });
});

it('keeps ids of the original within its memory, and releases it', async () => {
  const vocabulary = 3 * boundedIds;
  const folder = await makeRandomModel({ seed: 3, blocks: 2, vocabulary });
  const own = new LayeredExecutor(await openModel(folder), 'cpu', 1 << 30);
  const ids = Int32Array.from({ length: 96 }, (_, i) => (7919 * i + 3) % vocabulary);
  try {
    const [original, ...candidates] = await finalStates(own, ids);
    const readout = createReadout(own, 'js', metrics.js, { vocabulary: 'bounded' });
    const { originalBytes } = own.shares;
    const remaining = await readout.rowTerms(ids, original, candidates);
    // Numbers of 8 and of 4 bytes: ids; change and probabilities of 96 rows.
    const least = 2 * 8 * boundedIds + 4 * 96 * (boundedIds + 16);
    expect(own.originalRoom.take(originalBytes - least)).toBe(false);
    readout.end();
    expect(own.originalRoom.take(originalBytes)).toBe(true);
    const withoutRoom = await readout.rowTerms(ids, original, candidates);
    expect(withoutRoom).toEqual(remaining);
    own.originalRoom.giveBack(originalBytes);
    expect(own.originalRoom.take(originalBytes)).toBe(true);
  } finally {
    await own.dispose();
    await rm(folder, { recursive: true });
  }
});

it('is not used for other metrics, small vocabularies, or little memory', async () => {
  const vocabulary = 3 * boundedIds;
  const folder = await makeRandomModel({ seed: 3, blocks: 1, vocabulary });
  const model = await openModel(folder);
  const [roomy, tight] = [1 << 30, 1].map((bytes) => new LayeredExecutor(model, 'cpu', bytes));
  const over = (name: (typeof metricNames)[number], by: LayeredExecutor | undefined): string =>
    createReadout(by ?? executor, name, metrics[name], { vocabulary: 'bounded' }).vocabulary;
  for (const name of metricNames) {
    const bounds = bounding.some((one) => one === name);
    expect(over(name, roomy)).toBe(bounds ? 'bounded' : 'whole');
    expect(over(name, tight)).toBe('whole');
    expect(over(name, executor)).toBe('whole');
  }
  await roomy?.dispose();
  await tight?.dispose();
  await rm(folder, { recursive: true });
});

it('selects the most likely ids, the first of equal ones', () => {
  const masses = Float32Array.of(1, 3, 2, 2, 0, 2);
  expect([...mostProbableIds(masses, 3)]).toEqual([1, 2, 3]);
  expect([...mostProbableIds(masses, 6)]).toEqual([0, 1, 2, 3, 4, 5]);
});

it('keeps sampled ids of the original if their rows of the head do not fit in memory', async () => {
  const vocabulary = 3 * boundedIds;
  const folder = await makeRandomModel({ seed: 3, blocks: 2, vocabulary });
  const own = new LayeredExecutor(await openModel(folder), 'cpu', 1 << 30, { roundsHead: true });
  const ids = Int32Array.from({ length: 96 }, (_, i) => (7919 * i + 3) % vocabulary);
  const wholeHeads = vi.spyOn(Head.prototype, 'logits');
  try {
    const [original, ...candidates] = await finalStates(own, ids);
    const readout = createReadout(own, 'js', metrics.js, { vocabulary: 'sampled' });
    const room = 1 << 17;
    own.originalRoom.take(own.shares.originalBytes - room);
    const first = await readout.rowTerms(ids, original, candidates);
    expect(wholeHeads).toHaveBeenCalledTimes(2);
    expect(await readout.rowTerms(ids, original, candidates)).toEqual(first);
    expect(wholeHeads).toHaveBeenCalledTimes(2);
    readout.end();
    expect(own.originalRoom.take(room)).toBe(true);
  } finally {
    wholeHeads.mockRestore();
    await own.dispose();
    await rm(folder, { recursive: true });
  }
});
