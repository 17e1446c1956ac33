import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { expect, it } from 'vitest';
import { readGgufHeader } from '../../../extension/core/checkpoints/gguf';
import { openOnnx } from '../../../extension/core/checkpoints/onnx-file';
import { openSafetensors } from '../../../extension/core/checkpoints/safetensors';
import { openDataset } from '../../../extension/core/data/datasets/open-dataset';
import { withParquet } from '../../../extension/core/data/datasets/parquet-file';
import { readTask } from '../../../extension/core/data/tasks/task-file';
import {
  ggufBombs,
  gzipBombs,
  linesBombs,
  npzBombs,
  onnxBombs,
  parquetBombs,
  safetensorsBombs,
  tableBombs,
} from '../../fuzz/bombs';
import type { Bombs } from '../../fuzz/bombs';
import { sampled } from '../sample';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();

const openParquet = async (path: string): Promise<unknown> =>
  withParquet(path, async () => Promise.resolve());

/** The rest of them is tried by `npm run fuzz`. */
const cases: readonly [string, Bombs, string, (path: string) => unknown, RegExp][] = [
  ['a.safetensors', safetensorsBombs, 'open lists', openSafetensors, /500 levels of nesting/],
  ['a.safetensors', safetensorsBombs, 'empty lists', openSafetensors, /values take more than/],
  ['a.onnx', onnxBombs, 'empty nodes', openOnnx, /more than 5000000 fields/],
  ['a.onnx', onnxBombs, 'as many empty nodes as decode', openOnnx, /decoding takes more than/],
  ['a.onnx', onnxBombs, 'empty initializers', openOnnx, /more than 250000 tensors/],
  ['a.onnx', onnxBombs, 'integers', openOnnx, /decoding takes more than/],
  ['a.onnx', onnxBombs, 'metadata', openOnnx, /decoding takes more than/],
  ['a.gguf', ggufBombs, 'a list of empty texts', readGgufHeader, /more than 4000000 texts/],
  ['a.npz', npzBombs, '400 million zeros', openDataset, /more than 100 times its size/],
  ['a.parquet', parquetBombs, 'a schema of empty elements', openParquet, /too many values/],
  ['a.parquet', parquetBombs, 'nested structures', openParquet, /nested more than 50 deep/],
  ['a.csv', tableBombs, 'many empty lines', openDataset, /lines, more than 4000000/],
  ['a.jsonl', linesBombs, 'many empty objects', readTask, /lines, more than 1000000/],
  ['a.jsonl', linesBombs, 'open lists', readTask, /500 levels of nesting/],
  ['train-images-idx3-ubyte.gz', gzipBombs, '400 million zeros', openDataset, /unpacked|labels/],
];

/** One for each format and problem. */
const distinct = await sampled(cases, ([name, , , , problem]) => `${name} ${problem.source}`);

it.each(distinct)('%s: a bomb is refused at once', async (name, bombs, kind, open, problem) => {
  const path = join(folder, name);
  writeFileSync(path, bombs[kind]?.() ?? '');
  writeFileSync(join(folder, 'train-labels-idx1-ubyte'), Buffer.from([0, 0, 8, 1, 0, 0, 0, 0]));
  const started = process.cpuUsage();
  await expect(Promise.resolve(path).then(open)).rejects.toThrow(problem);
  const { user, system } = process.cpuUsage(started);
  expect((user + system) / 1e6).toBeLessThan(3);
});
