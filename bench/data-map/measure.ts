import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { openDataset } from '../../extension/core/data/datasets/open-dataset';
import { seededRandom, standardNormal } from '../../extension/core/data/random';
import { DataIssues } from '../../extension/core/datadiet/neighbors/data-issues';
import { embed } from '../../extension/core/datadiet/neighbors/embedding';
import {
  bareScores,
  writeScoreDocument,
} from '../../extension/core/datadiet/scores/score-document';
import type { ScoreDocument } from '../../extension/core/datadiet/scores/score-document';
import { ScoredData } from '../../extension/core/datadiet/scores/scored-data';
import type { ExampleQuery } from '../../extension/core/datadiet/subsets/find-examples';
import { unattended } from '../../extension/core/jobs/job';

/*
 * node data-map.cjs FOLDER EXAMPLES: writes texts and their scores there, opens them as the data reader does, and
 * prints milliseconds and the share of near-duplicates that are found, as JSON.
 */

const [, , folder = '', size = ''] = process.argv;
const examples = Number(size);
const [features, classes] = [64, 10] as const;
const random = seededRandom(1);

/** Rows that are nearly another. */
const alike = 1000;

/** Rows around a center for each class; the last ones are nearly the first. */
function clouds(): Float32Array {
  const centers = Float32Array.from({ length: classes * features }, () => standardNormal(random));
  const rows = Float32Array.from({ length: examples * features }, (_, i) => {
    const row = Math.floor(i / features);
    const center = centers[(row % classes) * features + (i % features)] ?? 0;
    return center + 0.6 * standardNormal(random);
  });
  const start = (examples - alike) * features;
  for (let i = 0; i < alike * features; i++) {
    rows[start + i] = (rows[i] ?? 0) + 0.02 * standardNormal(random);
  }
  return rows;
}

async function timed<T>(work: () => T | Promise<T>): Promise<[T, number]> {
  const start = performance.now();
  const result = await work();
  return [result, Math.round(performance.now() - start)];
}

async function write(): Promise<{ scores: string; embedMilliseconds: number; found: number }> {
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
  const document: ScoreDocument = {
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
  };
  await writeScoreDocument(scores, document);
  return { scores, embedMilliseconds, found: countIssues(new DataIssues(document)) };
}

/** Share of the rows that are nearly another which are in its group. */
function countIssues(issues: DataIssues): number {
  let found = 0;
  for (let i = 0; i < alike; i++) {
    found += Number(issues.groupFirst(examples - alike + i) === i);
  }
  return found / alike;
}

async function main(): Promise<void> {
  const { scores, embedMilliseconds, found } = await write();
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
  process.stdout.write(`${JSON.stringify({ ...times, found })}\n`);
}

void main();
