import { cp, open } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { unattended } from '../../../extension/core/jobs/job';
import { openModel } from '../../../extension/core/models/open-model';
import { expertSaliency } from '../../../extension/core/metrics/expert-saliency';
import type { ExpertSaliency } from '../../../extension/core/metrics/expert-saliency';
import {
  leastSalient,
  removableExpertCount,
} from '../../../extension/core/operations/score-experts';
import type { ExpertAllocation } from '../../../extension/core/operations/score-experts';
import type { SublayerSummary } from '../../../extension/core/models/model-summary';
import { LayeredExecutor } from '../../../extension/core/runtime/layered-executor';
import { fixture } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';

const root = temporaryFolder();
const inputs = [[3, 14, 15, 9, 26, 5, 35, 8].map((id) => id % 32), [2, 7, 1, 8]].map((ids) =>
  Int32Array.from(ids),
);

async function computeSaliency(path: string): Promise<ExpertSaliency[][]> {
  const executor = new LayeredExecutor(await openModel(path), 'cpu', 1 << 28);
  const scored = await expertSaliency(executor, inputs, unattended);
  await executor.dispose();
  return scored;
}

type Layer = Required<Pick<SublayerSummary, 'id' | 'experts'>> & {
  readonly worths: readonly number[];
};
const blank: Omit<SublayerSummary, 'id' | 'experts'> = {
  ...{ block: 0, kind: 'expert', parameters: 0 },
  ...{ bytes: 0, flopsPerToken: 0, kvBytesPerToken: 0 },
};

/** A copy of a model, the last matrix of one of whose experts is multiplied by a factor. */
async function withExpertTimes(source: string, expert: number, factor: number): Promise<string> {
  const copy = join(root, `times-${factor}`);
  await cp(source, copy, { recursive: true });
  const model = await openModel(copy);
  const index = model.summary.sublayers.findIndex(({ kind }) => kind === 'expert');
  const { offset, length, file } = model.sublayer(index).expertTensors?.experts[expert]?.at(-1) ?? {
    ...{ offset: 0, length: 0, file: '' },
  };
  const handle = await open(file, 'r+');
  const bytes = new Float32Array(length / 4);
  await handle.read(new Uint8Array(bytes.buffer), 0, length, offset);
  const scaled = bytes.map((x) => x * factor);
  await handle.write(new Uint8Array(scaled.buffer), 0, length, offset);
  await handle.close();
  return copy;
}

describe('the saliency of experts', () => {
  it('is a mean over the tokens that are sent to each, as often as the router chooses', async () => {
    const scored = await computeSaliency(fixture('mixtral'));
    const { sublayers } = (await openModel(fixture('mixtral'))).summary;
    const mixtures = sublayers.filter(({ experts }) => experts !== undefined);
    expect(scored).toHaveLength(mixtures.length);
    for (const [i, experts] of scored.entries()) {
      const sent = experts.reduce((sum, { tokens }) => sum + tokens, 0);
      expect(sent).toBe(12 * (mixtures[i]?.experts?.perToken ?? 0));
      expect(experts.filter(({ saliency, tokens }) => saliency > 0 !== tokens > 0)).toEqual([]);
    }
  });

  it('grows with the output of an expert, and is 0 without output', async () => {
    const source = fixture('mixtral');
    const [before = []] = await computeSaliency(source);
    const expert = before.findIndex(({ tokens }) => tokens > 0);
    const [twice = []] = await computeSaliency(await withExpertTimes(source, expert, 2));
    const [none = []] = await computeSaliency(await withExpertTimes(source, expert, 0));
    const own = before[expert]?.saliency ?? Number.NaN;
    expect(twice[expert]?.saliency).toBeCloseTo(2 * own, 5);
    expect(none[expert]?.saliency).toBe(0);
    const others = (all: readonly ExpertSaliency[]): unknown => all.filter((_, i) => i !== expert);
    expect(others(twice)).toEqual(others(before));
  });

  it('is listed with the share of tokens that each expert gets', async () => {
    for (const experts of await computeSaliency(fixture('mixtral'))) {
      expect(experts.map(({ frequency }) => frequency)).toEqual(
        experts.map(({ tokens }) => tokens / 12),
      );
    }
  });
});

describe('experts on several texts', () => {
  it('are scored as on each of them alone, and together as on all', async () => {
    const executor = new LayeredExecutor(await openModel(fixture('mixtral')), 'cpu', 1 << 28);
    const alone = [];
    for (const input of inputs) {
      alone.push(await expertSaliency(executor, [input, input], unattended));
    }
    // The inputs of two texts take turns.
    const [a = Int32Array.of(), b = Int32Array.of()] = inputs;
    const together = await expertSaliency(executor, [a, b, a, b], unattended, undefined, 2);
    const whole = await expertSaliency(executor, [a, b, a, b], unattended);
    await executor.dispose();
    for (const [layer, experts] of together.entries()) {
      for (const [i, { texts = [], ...all }] of experts.entries()) {
        const expected = alone.map((one) => one[layer]?.[i]);
        expect(texts.map(({ tokens }) => tokens)).toEqual(expected.map((one) => one?.tokens));
        texts.forEach(({ saliency, frequency }, text) => {
          expect(saliency).toBeCloseTo(expected[text]?.saliency ?? Number.NaN, 5);
          expect(frequency).toBeCloseTo(expected[text]?.frequency ?? Number.NaN, 5);
        });
        expect(all.tokens).toBe(whole[layer]?.[i]?.tokens);
        expect(all.saliency).toBeCloseTo(whole[layer]?.[i]?.saliency ?? Number.NaN, 5);
      }
    }
  });
});

describe('a fraction of the experts', () => {
  const layer = (block: number, worths: readonly number[], groups?: number): Layer => ({
    id: `block.${block}.expert`,
    experts: {
      ...{ count: worths.length, perToken: 1, parameters: 1, bytes: 1 },
      ...(groups === undefined ? {} : { groups, least: 2 * groups }),
    },
    worths,
  });
  const removed = (
    layers: readonly Layer[],
    ratio: number,
    allocation?: ExpertAllocation,
  ): string[] =>
    leastSalient(
      layers.map(({ id, worths }) =>
        worths.map((saliency, i) => ({ expert: `${id}.${i}`, saliency })),
      ),
      ratio,
      { sublayers: layers.map((one) => ({ ...blank, ...one })) },
      allocation,
    );

  it('is the same of each layer, and leaves one', () => {
    const layers = [layer(0, [3, 1, 2, 4]), layer(1, [5])];
    expect(removed(layers, 0.5)).toEqual(['block.0.expert.1', 'block.0.expert.2']);
    expect(removed(layers, 1)).toHaveLength(3);
    expect(removableExpertCount(0.29, { count: 100 })).toBe(29);
  });

  it('is the same for each group of the router, and leaves the number that a group needs', () => {
    const layers = [layer(0, [9, 8, 7, 6, 1, 3, 2, 4], 2)];
    const ids = [3, 4].map((expert) => `block.0.expert.${expert}`);
    expect(removed(layers, 0.25)).toEqual(ids);
    expect(removed(layers, 0.49)).toEqual(ids);
    expect(removed(layers, 1)).toEqual([3, 2, 4, 6].map((expert) => `block.0.expert.${expert}`));
  });

  it('is chosen from all layers by one budget, and leaves the number that each layer needs', () => {
    const layers = [layer(0, [30, 10, 20, 40]), layer(1, [1, 2, 3, 4])];
    const ids = (...numbers: number[]): string[] =>
      numbers.map((expert) => `block.1.expert.${expert}`);
    expect(removed(layers, 0.25, 'saliency')).toEqual(ids(0, 1));
    expect(removed(layers, 0.5, 'saliency')).toEqual([...ids(0, 1, 2), 'block.0.expert.1']);
    const grouped = [layer(0, [9, 9, 9, 3, 3, 9, 9, 9], 2), layer(1, [5, 1, 1, 1, 1, 1, 1, 5], 2)];
    expect(removed(grouped, 0.25, 'saliency')).toEqual([...ids(1, 4), ...ids(2, 5)]);
  });
});
