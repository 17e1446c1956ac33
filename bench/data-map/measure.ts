import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { openDataset } from '../../extension/core/data/datasets/open-dataset';
import { seededRandom, standardNormal } from '../../extension/core/data/random';
import { embed } from '../../extension/core/datadiet/neighbors/embedding';
import {
  nearestNeighbors,
  unitRows,
} from '../../extension/core/datadiet/neighbors/nearest-neighbors';
import {
  bareScores,
  writeScoreDocument,
} from '../../extension/core/datadiet/scores/score-document';
import { ScoredData } from '../../extension/core/datadiet/scores/scored-data';
import type { ExampleQuery } from '../../extension/core/datadiet/subsets/find-examples';
import { unattended } from '../../extension/core/jobs/job';

/*
 * node data-map.cjs FOLDER EXAMPLES: writes texts and their scores there, opens them as the data reader does, and
 * prints milliseconds and the share of true neighbours that are found, as JSON.
 */

const [, , folder = '', size = ''] = process.argv;
const examples = Number(size);
const [features, classes] = [64, 10] as const;
const random = seededRandom(1);

/** Rows around a centre for each class. */
function clouds(): Float32Array {
  const centres = Float32Array.from({ length: classes * features }, () => standardNormal(random));
  return Float32Array.from({ length: examples * features }, (_, i) => {
    const row = Math.floor(i / features);
    const centre = centres[(row % classes) * features + (i % features)] ?? 0;
    return centre + 0.6 * standardNormal(random);
  });
}

async function timed<T>(work: () => T | Promise<T>): Promise<[T, number]> {
  const start = performance.now();
  const result = await work();
  return [result, Math.round(performance.now() - start)];
}

async function write(): Promise<{ scores: string; embedMilliseconds: number; recall: number }> {
  const [data, scores] = [join(folder, 'texts.csv'), join(folder, 'texts.scores.json')];
  const lines = Array.from(
    { length: examples },
    (_, i) => `"text number ${i}, of some words",${i % classes}`,
  );
  writeFileSync(data, `text,label\n${lines.join('\n')}\n`);
  const { fingerprint, labels, classNames } = await openDataset(data);
  const rows = { count: examples, length: features, numbers: clouds() };
  const [embedded, embedMilliseconds] = await timed(async () =>
    embed(rows, { layer: 'clouds' }, unattended),
  );
  const column = () => Array.from({ length: examples }, () => Math.fround(random()));
  await writeScoreDocument(scores, {
    ...bareScores('el2n', column()),
    ...embedded,
    dataset: { path: data, name: 'texts', fingerprint },
    classNames: [...classNames],
    labels: [...labels],
    predicted: Array.from(labels, (label, i) => (i % 50 === 0 ? (label + 1) % classes : label)),
    labelIssues: Array.from(labels, (_, i) => (i % 50 === 0 ? 1 : 0)),
    copies: Array.from(labels, (_, i) => i),
    ...{ deviations: column(), labelScores: column(), confidence: column() },
    ...{ variability: column(), correctness: column() },
  });
  return { scores, embedMilliseconds, recall: await recallOf(unitRows(rows).numbers) };
}

/** Share of the 5 nearest of some rows that are found. */
async function recallOf(numbers: Float32Array): Promise<number> {
  const rows = { count: examples, length: features, numbers };
  const { indices } = await nearestNeighbors(rows, 5, unattended);
  let found = 0;
  const tried = 100;
  for (let i = 0; i < tried; i++) {
    const row = Math.floor(random() * examples);
    const cosines = Float64Array.from({ length: examples }, (_, other) => {
      let sum = 0;
      for (let j = 0; j < features; j++) {
        sum += (numbers[row * features + j] ?? 0) * (numbers[other * features + j] ?? 0);
      }
      return other === row ? -2 : sum;
    });
    const fifth = cosines.slice().sort().at(-5) ?? 0;
    const near = indices.subarray(row * 5, row * 5 + 5);
    found += near.filter((other) => (cosines[other] ?? 0) >= fifth).length;
  }
  return found / (5 * tried);
}

async function main(): Promise<void> {
  const { scores, embedMilliseconds, recall } = await write();
  const query: ExampleQuery = { order: 'hardest', page: 0, pageSize: 24 };
  const [opened, read] = await timed(async () => ScoredData.open({ scores }));
  const [, map] = await timed(async () => opened.map());
  const [, page] = await timed(() => opened.examples(query));
  const request = { keep: 0.5, policy: 'max', balanced: true, seed: 0 } as const;
  const [, kept] = await timed(() => opened.count({ request }));
  const [, data] = await timed(async () => opened.data());
  const [, search] = await timed(() => opened.examples({ ...query, search: 'number 77' }));
  const [, similar] = await timed(() => opened.examples({ ...query, similarTo: 7 }));
  const times = { read, map, page, kept, data, search, similar, embed: embedMilliseconds };
  process.stdout.write(`${JSON.stringify({ ...times, recall })}\n`);
}

void main();
