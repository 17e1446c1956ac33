import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { TensorData } from '../../../extension/core/checkpoints/lazy-tensor';
import { seededRandom, standardNormal } from '../../../extension/core/data/random';
import type { MetricName } from '../../../extension/core/metrics/metrics';
import { storeEncodings } from '../../../extension/core/models/encodings/store-encodings';
import type { LayeredModel } from '../../../extension/core/models/layered-model';
import type { LinearLayer, MatrixEncoding } from '../../../extension/core/models/matrix-encoding';
import { openModel } from '../../../extension/core/models/open-model';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { ChangeScorer } from '../../../extension/core/tensornet/sensitivity/change-scorer';
import type { ChangeSetup } from '../../../extension/core/tensornet/sensitivity/change-scorer';
import { makeRandomModel, randomModelVocabulary } from '../random-model';
import { paired } from '../sample';

function makeTokens(seed: number, length: number): Int32Array {
  const random = seededRandom(seed);
  return Int32Array.from({ length }, () => Math.floor(random() * randomModelVocabulary));
}

const inputs = [makeTokens(3, 9), makeTokens(4, 9)];

function tensor(seed: number, shape: readonly number[]): TensorData {
  const random = seededRandom(seed);
  const length = shape.reduce((all, size) => all * size, 1);
  const numbers = Float32Array.from({ length }, () => 0.2 * standardNormal(random));
  return { dtype: 'F32', shape, bytes: new Uint8Array(numbers.buffer) };
}

/** Random matrix of rank 2 that replaces a layer. */
function changed({ out, in: size }: LinearLayer, seed: number): MatrixEncoding<TensorData> {
  return {
    kind: 'low-rank',
    rank: 2,
    left: { kind: 'dense', weight: tensor(seed, [out, 2]) },
    right: { kind: 'dense', weight: tensor(seed + 1, [2, size]) },
  };
}

describe('ChangeScorer', () => {
  let model: LayeredModel;
  let folder: string;
  beforeAll(async () => {
    model = await openModel(await makeRandomModel({ seed: 11, blocks: 3 }));
    folder = await mkdtemp(join(tmpdir(), 'espalier-forms-'));
  });

  const makeScorer = (
    executor: LayeredExecutor,
    metric: MetricName,
    more: Partial<ChangeSetup> = {},
  ): ChangeScorer =>
    new ChangeScorer({
      executor,
      inputs,
      metric,
      ...more,
      cancellation: { isCancellationRequested: false },
      onWork: () => undefined,
    });

  it.each(paired(['js', 'norm', 'perplexity'] as const, [0, 3, 5]))(
    'measures %s in sublayer %i as a run of the whole changed model does',
    async (metric, index) => {
      const executor = new LayeredExecutor(model, 'cpu', 1 << 28);
      const scorer = makeScorer(executor, metric);
      const dense = await scorer.start();
      const unchanged = await scorer.distance(dense);
      await scorer.advance(index);
      const layers = model.sublayer(index).linearLayers;
      expect(layers.length).toBeGreaterThan(2);
      const models = await Promise.all(
        layers.map(async (layer, i) => {
          const forms = new Map([[layer.id, changed(layer, 10 * index + i)]]);
          const stored = await storeEncodings(join(folder, `${metric}.${index}.${i}`), forms);
          return model.withMatrices(stored);
        }),
      );
      const distances = await scorer.distances(models.map((one) => one.sublayer(index)));
      for (const [i, other] of models.entries()) {
        const whole = new LayeredExecutor(other, 'cpu', 1 << 28);
        const direct = makeScorer(whole, metric);
        const expected = await direct.distance(await direct.start(dense));
        expect(Math.abs((distances[i]?.distance ?? Number.NaN) / expected - 1)).toBeLessThan(1e-5);
        expect(Math.abs(expected - unchanged)).toBeGreaterThan(1e-4);
        await whole.dispose();
      }
      await executor.dispose();
    },
  );

  it('measures only as much as the precision needs, with nearly the full result', async () => {
    const executor = new LayeredExecutor(model, 'cpu', 1 << 28);
    const texts = Array.from({ length: 16 }, (_, i) => makeTokens(100 + i, 16));
    const scorer = makeScorer(executor, 'js', { inputs: texts });
    await scorer.start();
    await scorer.advance(2);
    const steps = await Promise.all(
      model.sublayer(2).linearLayers.map(async (layer, i) => {
        const forms = new Map([[layer.id, changed(layer, i)]]);
        return model
          .withMatrices(await storeEncodings(join(folder, `part.${i}`), forms))
          .sublayer(2);
      }),
    );
    const evaluations = async (precision = 0) => {
      const before = scorer.evaluations;
      const distances = await (precision === 0
        ? scorer.distances(steps)
        : scorer.estimates(steps, precision));
      return { distances, spent: scorer.evaluations - before };
    };
    const whole = await evaluations();
    const part = await evaluations(0.2);
    expect(part.spent).toBeLessThan(whole.spent / 2);
    expect(part.spent).toBeGreaterThan(0);
    // One is measured on all rows: the others go by it.
    expect(part.distances.filter((one) => one.standardError === undefined)).toHaveLength(1);
    part.distances.forEach(({ distance, standardError = 1e-6 * distance }, i) => {
      expect(standardError).toBeLessThanOrEqual(0.2 * distance);
      const all = whole.distances[i]?.distance ?? Number.NaN;
      expect(Math.abs(distance - all)).toBeLessThan(4 * standardError);
    });
    const exact = whole.distances.map(({ distance }) => expect.closeTo(distance, 6) as unknown);
    const never = await evaluations(1e-9);
    expect(never.distances.map(({ distance }) => distance)).toEqual(exact);
    // Nor is anything between measured settings taken for granted then.
    const ladder = { turn: 0.1, rungs: steps.map((_, place) => ({ place, size: 1 + place })) };
    const climbed = await scorer.estimates(steps, 1e-9, [ladder]);
    expect(climbed.map(({ distance }) => distance)).toEqual(exact);
    const before = scorer.evaluations;
    const [between] = await scorer.estimates(steps, 1, [ladder]);
    expect(scorer.evaluations - before).toBeLessThan(part.spent);
    expect(between?.standardError).toBeGreaterThan(0);
    await executor.dispose();
  });

  it('measures on top of removed sublayers', async () => {
    const executor = new LayeredExecutor(model, 'cpu', 1 << 28);
    const dense = await makeScorer(executor, 'js').start();
    const scorer = makeScorer(executor, 'js', { removed: new Set([2]) });
    const removed = await scorer.distance(await scorer.start(dense));
    expect(removed).toBeGreaterThan(1e-4);
    await scorer.advance(2);
    const [back] = await scorer.distances([model.sublayer(2)]);
    expect(back?.distance).toBeCloseTo(0, 6);
    await executor.dispose();
  });
});
