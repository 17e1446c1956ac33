import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seededRandom } from '../../../extension/core/data/random';
import { loadSeveralTexts } from '../../../extension/core/data/model-inputs';
import { openModel } from '../../../extension/core/models/open-model';
import { selectionStability } from '../../../extension/core/selection-stability';
import type { CandidateDistance } from '../../../extension/core/prune/layer-profile';
import type { SearchRecord } from '../../../extension/core/prune/search-memo';
import { makeRandomModel, randomModelVocabulary } from '../random-model';
import { temporaryFolder } from '../temporary-folder';
import { runSearch } from './run-search';

const sample = join(import.meta.dirname, '../../../samples/espalier-sample');
const sequence = (seed: number): number[] =>
  Array.from({ length: 80 }, (_, i) => (seed * 31 + i * i * 7 + i) % randomModelVocabulary);

describe('stability', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await makeRandomModel({ seed: 5, blocks: 3 });
  });
  afterAll(async () => rm(folder, { recursive: true }));

  const distancesOn = async (
    sequences: readonly number[][],
  ): Promise<readonly CandidateDistance[]> => {
    const settings = { mode: 'exact', budget: { kind: 'count', count: 1 } } as const;
    return (await runSearch({ folder, sequences, settings })).candidates;
  };

  it('has the distances that a search of each text alone finds, at no extra work', async () => {
    const texts = [sequence(1), sequence(2), sequence(3), sequence(4)];
    const settings = { mode: 'exact', budget: { kind: 'count', count: 2 } } as const;
    const run = { folder, sequences: texts, settings };
    const [plain, several] = [
      await runSearch(run),
      await runSearch({ ...run, texts: ['prose.txt', 'code.txt'] }),
    ];
    expect(several.sublayerEvaluations).toBe(plain.sublayerEvaluations);
    expect(several.rounds).toEqual(plain.rounds);
    const { stability } = several;
    expect(stability?.texts).toEqual([
      { name: 'prose.txt', tokens: 160 },
      { name: 'code.txt', tokens: 160 },
    ]);
    const alone = [
      await distancesOn([sequence(1), sequence(3)]),
      await distancesOn([sequence(2), sequence(4)]),
    ];
    for (const [i, { sublayer, distances }] of stability?.candidates.entries() ?? []) {
      expect(alone[0]?.[i]?.sublayer).toBe(sublayer);
      distances.forEach((distance, text) => {
        expect(distance).toBeCloseTo(alone[text]?.[i]?.distance ?? Number.NaN, 6);
      });
    }
    // The mean over both texts is what the search decides by.
    several.rounds.forEach(({ distance }, i) => {
      const [first = 0, second = 0] = stability?.rounds[i] ?? [];
      expect((first + second) / 2).toBeCloseTo(distance, 6);
    });
    expect(plain.stability?.texts.map(({ name }) => name)).toEqual([
      'part 1 of 3',
      'part 2 of 3',
      'part 3 of 3',
    ]);
  });

  it('uses the first tokens of each text for an adaptive search, and is skipped for one text', async () => {
    const texts = [sequence(1), sequence(2), sequence(3)];
    const settings = { mode: 'adaptive', budget: { kind: 'count', count: 2 } } as const;
    const records: SearchRecord[] = [];
    const run = { folder, sequences: texts, settings };
    const found = await runSearch({
      ...run,
      texts: ['a', 'b', 'c'],
      onRecord: (some) => records.push(...some),
    });
    expect(found.stability?.texts.map(({ tokens }) => tokens)).toEqual([64, 64, 64]);
    expect(found.stability?.rounds).toHaveLength(2);
    const resumed = await runSearch({ ...run, texts: ['a', 'b', 'c'], replayed: records });
    expect(resumed.stability).toEqual(found.stability);
    expect((await runSearch(run)).stability).toBeUndefined();
  });

  it('reports that the rank depends on the text if it differs by a quarter of all, and by more than chance', async () => {
    const larger = await makeRandomModel({ seed: 7, blocks: 6 });
    const random = seededRandom(7);
    const anyText = (): number[] =>
      Array.from({ length: 64 }, () => Math.floor(random() * randomModelVocabulary));
    const settings = { mode: 'exact', budget: { kind: 'count', count: 1 } } as const;
    /** Sublayers whose ranks differ by a quarter, and those of them that are said to depend on the text. */
    const countsOn = async (sequences: number[][]): Promise<[number, number]> => {
      const { stability } = await runSearch({
        ...{ folder: larger, sequences, settings },
        texts: ['a', 'b'],
      });
      const all = stability?.candidates ?? [];
      const rank = (text: number, index: number): number =>
        1 +
        all.filter(({ distances }) => (distances[text] ?? 0) < (all[index]?.distances[text] ?? 0))
          .length;
      const far = all.filter(({ places }, i) => {
        const ranks = [rank(0, i), rank(1, i)];
        expect(places).toEqual([Math.min(...ranks), Math.max(...ranks)]);
        return Math.max(...ranks) - Math.min(...ranks) >= all.length / 4;
      });
      const dependent = all.filter(({ dependsOnText }) => dependsOnText);
      expect(far).toEqual(expect.arrayContaining(dependent));
      return [far.length, dependent.length];
    };
    expect(await countsOn([anyText(), anyText()])).toEqual([6, 1]);
    expect(await countsOn([anyText(), new Array<number>(64).fill(7)])).toEqual([7, 7]);
    await rm(larger, { recursive: true });
  });
});

describe('a choice on several texts', () => {
  it('lists sublayers among the least important on each text, with a distance for each', () => {
    const candidates = [
      [1, 2],
      [1, 3],
      [2, 2],
    ].map(([best = 0, worst = 0], i) => ({
      ...{ sublayer: `block.${i}`, distances: [], dependsOnText: false },
      places: [best, worst] as const,
    }));
    const rounds = [
      [0.1, 0.2],
      [0.3, 0.5],
    ];
    expect(selectionStability({ candidates, rounds }, 2)).toEqual({
      common: 2,
      distances: [0.3, 0.5],
    });
    expect(selectionStability({ candidates, rounds }, 1).common).toBe(0);
    // A round that was not measured on each text is left out.
    expect(selectionStability({ candidates, rounds }, 3)).toEqual({
      common: 3,
      distances: undefined,
    });
  });
});

describe('several texts', () => {
  it('contribute sequences in turn, in the requested number', async () => {
    const model = await openModel(sample);
    const place = temporaryFolder();
    const other = join(place, 'other.txt');
    await writeFile(other, 'Der Gärtner schneidet die Birnbäume am Spalier im Winter. '.repeat(40));
    const bundled = join(sample, '../calibration.txt');
    const request = { sequences: 3, length: 32 };
    const { inputs, summary } = await loadSeveralTexts(request, [other], model, bundled, 0);
    const [own, others] = [
      await loadSeveralTexts({ ...request, sequences: 2 }, [], model, bundled, 0),
      await loadSeveralTexts({ ...request, sequences: 1, file: other }, [], model, bundled, 0),
    ];
    expect(inputs).toEqual([own.inputs[0], others.inputs[0], own.inputs[1]]);
    expect(summary).toMatchObject({ texts: ['bundled', other], sequences: 3, tokens: 96 });
    await expect(
      loadSeveralTexts({ sequences: 1, length: 32 }, [other], model, bundled, 0),
    ).rejects.toFailWith({ code: 'sequences-too-few', field: 'sequences' });
  });
});
