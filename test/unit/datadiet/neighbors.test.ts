import { describe, expect, it } from 'vitest';
import { DataIssues } from '../../../extension/core/datadiet/neighbors/data-issues';
import {
  Embedding,
  embed,
  principalComponents,
} from '../../../extension/core/datadiet/neighbors/embedding';
import {
  nearestNeighbors,
  unitRows,
} from '../../../extension/core/datadiet/neighbors/nearest-neighbors';
import { chooseExamples } from '../../../extension/core/datadiet/choose-examples';
import {
  bareScores,
  parseScoreDocument,
} from '../../../extension/core/datadiet/scores/score-document';
import type { ScoreDocument } from '../../../extension/core/datadiet/scores/score-document';
import {
  rankExamples,
  scoredExample,
} from '../../../extension/core/datadiet/subsets/find-examples';
import { seededRandom } from '../../../extension/core/data/random';
import { pack } from '../../../extension/core/datadiet/neighbors/embedding-schema';
import { CancelledError, unattended } from '../../../extension/core/jobs/job';
import type { Rows } from '../../../extension/core/linear-algebra/matrix-source';
import { Random } from '../training/random';

const random = new Random(5);

/** Rows of random directions; the first are those that are given. */
function makeRows(count: number, length: number, given: readonly (readonly number[])[] = []): Rows {
  const numbers = Float32Array.from(random.normals(count * length));
  given.forEach((row, i) => {
    numbers.set(row, i * length);
  });
  return { count, length, numbers };
}

describe('principal components', () => {
  it('turn rows along their largest variance, less their mean', () => {
    const rows = { count: 4, length: 2, numbers: Float32Array.of(11, 21, 9, 19, 14, 24, 6, 16) };
    const { length, numbers } = principalComponents(rows, 2);
    expect(length).toBe(1);
    const sign = Math.sign(numbers[0] ?? 1);
    expect([...numbers].map((x) => sign * x)).toEqual(
      [1, -1, 4, -4].map((x) => expect.closeTo(x * Math.SQRT2, 4) as number),
    );
  });
});

describe('nearest neighbors', () => {
  const exact = (rows: Rows, row: number, count: number): number[] => {
    const { length, numbers } = rows;
    const cosine = (other: number) =>
      numbers
        .subarray(row * length, (row + 1) * length)
        .reduce((sum, x, i) => sum + x * (numbers[other * length + i] ?? 0), 0);
    return Array.from({ length: rows.count }, (_, i) => i)
      .filter((other) => other !== row)
      .sort((a, b) => cosine(b) - cosine(a))
      .slice(0, count);
  };

  it('are the exact neighbors if there are few rows', async () => {
    const rows = unitRows(makeRows(200, 6));
    const { count, indices } = await nearestNeighbors(rows, 5, unattended);
    expect(count).toBe(5);
    for (const row of [0, 77, 199]) {
      expect([...indices.subarray(row * 5, row * 5 + 5)]).toEqual(exact(rows, row, 5));
    }
  });

  it('are mostly found in cells, and the nearly same always', async () => {
    const rows = makeRows(9000, 4);
    // The last 50 are nearly those at the beginning.
    for (let i = 0; i < 200; i++) {
      rows.numbers[8950 * 4 + i] = (rows.numbers[i] ?? 0) * 1.001;
    }
    const unit = unitRows(rows);
    const { indices } = await nearestNeighbors(unit, 5, unattended);
    const found = Array.from({ length: 50 }, (_, i) => indices[(8950 + i) * 5]);
    expect(found).toEqual(Array.from({ length: 50 }, (_, i) => i));
    const rowsTried = [100, 2000, 5000, 8000];
    const hits = rowsTried.map((row) => {
      const near = new Set(indices.subarray(row * 5, row * 5 + 5));
      return exact(unit, row, 5).filter((other) => near.has(other)).length;
    });
    expect(hits.reduce((sum, one) => sum + one)).toBeGreaterThan(15);
  });

  it('are the requested number, even if the surrounding cells are almost empty', async () => {
    const count = 9000;
    // Rows far from all others, at the start, where the search takes its first centers from.
    const draw = seededRandom(Math.round(Math.sqrt(count)));
    const apart = new Map(Array.from({ length: 10 }, (_, i) => [Math.floor(draw() * count), i]));
    const rows = makeRows(count, 12);
    for (let row = 0; row < count; row++) {
      const place = apart.get(row);
      const own = rows.numbers.subarray(row * 12, row * 12 + 12);
      own.forEach((x, i) => {
        own[i] =
          place === undefined
            ? Number(i === 11) + 0.01 * x
            : Number(i === place) + (i === 10 ? 0.5 : 0);
      });
    }
    const { indices, similarities } = await nearestNeighbors(unitRows(rows), 15, unattended);
    for (const row of apart.keys()) {
      expect(new Set(indices.subarray(row * 15, row * 15 + 15)).size).toBe(15);
    }
    expect(similarities.every((cosine) => cosine >= -1.001)).toBe(true);
  });

  it('stop when cancelled', async () => {
    const cancellation = { isCancellationRequested: true };
    const looking = nearestNeighbors(unitRows(makeRows(20, 4)), 5, { ...unattended, cancellation });
    await expect(looking).rejects.toThrow(CancelledError);
  });
});

describe('issues of examples', () => {
  // 0 and 1 are nearly the same, 2 is a copy of 0, 39 lies far from all others, which lie around a circle.
  const around = (angle: number, z: number) => [Math.cos(angle), Math.sin(angle), z];
  const cloud = Array.from({ length: 40 }, (_, i) =>
    i === 39 ? [0, 0, -30] : i < 3 ? around(0.08, i / 1000) : around((2 * Math.PI * i) / 40, 0),
  );
  const labels = cloud.map((_, i) => i % 2);
  const document = async (): Promise<ScoreDocument> => ({
    ...bareScores(
      'el2n',
      cloud.map((_, i) => i / 40),
    ),
    ...(await embed(makeRows(40, 3, cloud), { layer: '3 features', layout: 'pca' }, unattended)),
    copies: cloud.map((_, i) => (i === 2 ? 0 : i)),
    classNames: ['a', 'b'],
    labels,
  });

  it('are grouped as near-duplicates, copies first, and outliers are far from all others', async () => {
    const scored = await document();
    const issues = new DataIssues(scored);
    expect(issues.known).toEqual(['duplicates', 'outliers']);
    expect(issues.affected('duplicates', 0.9995)).toEqual([1, 2]);
    expect(issues.affected('duplicates', 1)).toContain(2);
    expect(issues.affected('outliers')).toEqual([39]);
    const findable = { document: scored, issues };
    const query = { order: 'duplicates', similarity: 0.9995, page: 0, pageSize: 9 } as const;
    expect([...rankExamples(findable, query)].slice(0, 4)).toEqual([0, 1, 2, 3]);
    expect(scoredExample(findable, 2, 0.9995)).toMatchObject({
      group: { first: 0, size: 3, isCopy: true },
      isOutlier: false,
    });
    expect(scoredExample(findable, 1, 0.9995).group?.isCopy).toBe(false);
    const similar = rankExamples(findable, { ...query, similarTo: 1 });
    expect(similar[0]).toBe(1);
    expect([...similar.slice(1, 3)].sort()).toEqual([0, 2]);
  });

  it('find outliers by distances without copies, or with them if all are copies', () => {
    const count = 40;
    const copies = Array.from({ length: count }, (_, i) => (i < 32 ? 0 : i));
    const outlierScores = copies.map((_, i) => (i < 32 ? 0 : i === 39 ? 30 : 1 + i / 100));
    const scored = { ...bareScores('el2n', copies), copies, outlierScores };
    expect(new DataIssues(scored).affected('outliers')).toEqual([39]);
    const allCopied = { ...scored, copies: copies.map((_, i) => i - (i % 2)) };
    expect(new DataIssues(allCopied).affected('outliers')).toHaveLength(8);
  });

  it('join an example to its copies if they are all of its stored neighbors', () => {
    const row = (i: number) => [1, 2, 3, 4, 5].map((other) => (other === i ? 0 : other));
    const scored: ScoreDocument = {
      ...bareScores('el2n', [0, 1, 2, 3, 4, 5, 6]),
      copies: [0, 0, 0, 0, 0, 0, 6],
      embedding: {
        ...{ layer: 'two', width: 2, nearest: 5, layout: 'pca', points: '' },
        vectors: pack(
          Int8Array.from({ length: 14 }, (_, i) => (i % 2 === 0 ? 127 : Number(i > 12))),
        ),
        neighbors: pack(Int32Array.from([0, 1, 2, 3, 4, 5, 6].flatMap(row))),
      },
    };
    const issues = new DataIssues(scored);
    expect([issues.groupFirst(6), issues.groupSize(6)]).toEqual([0, 7]);
  });

  it.each([
    [16, 'pca'],
    [17, 'umap'],
  ] as const)('have a map of %i points: %s', async (count, layout) => {
    const { embedding } = await embed(makeRows(count, 3), { layer: '3 features' }, unattended);
    expect(embedding.layout).toBe(layout);
  });

  it('are left out of a selection, and are refused if unknown', async () => {
    const request = { keep: 1, policy: 'max', balanced: false, seed: 0 } as const;
    const without = ['duplicates', 'outliers'] as const;
    const scored = await document();
    const { indices } = chooseExamples(scored, { request, without, similarity: 0.9995 });
    expect(indices).toHaveLength(37);
    expect(() => chooseExamples(scored, { request, without: ['suspected'] })).toFailWith({
      code: 'data-issues-missing',
      field: 'without',
    });
  });

  it('are read from a document whose size is proportional to the examples', async () => {
    const scored = await document();
    const { embedding } = parseScoreDocument(JSON.stringify(scored), 'a.scores.json');
    expect(embedding && new Embedding(embedding).neighbors(1)[0]?.similarity).toBeGreaterThan(
      0.999,
    );
    const cut = { ...scored, embedding: { ...embedding, points: 'AAAA' } };
    expect(() => parseScoreDocument(JSON.stringify(cut), 'a.scores.json')).toFailWith({
      code: 'embedding-length-mismatch',
      file: 'a.scores.json',
      field: 'embedding.points',
    });
  });
});
