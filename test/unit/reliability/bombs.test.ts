import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { fromBinary } from '@bufbuild/protobuf';
import { parquetMetadataAsync } from 'hyparquet';
import { parse } from 'papaparse';
import type * as papaparse from 'papaparse';
import { expect, it, vi } from 'vitest';
import type { Mock } from 'vitest';
import { ZipFile } from 'yauzl';
import { readGgufHeader } from '../../../extension/core/checkpoints/gguf';
import { GgufReader } from '../../../extension/core/checkpoints/gguf-reader';
import { openOnnx } from '../../../extension/core/checkpoints/onnx-file';
import { openSafetensors } from '../../../extension/core/checkpoints/safetensors';
import { openDataset } from '../../../extension/core/data/datasets/open-dataset';
import { withParquet } from '../../../extension/core/data/datasets/parquet-file';
import { readNpz } from '../../../extension/core/data/npz';
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

vi.mock('@bufbuild/protobuf', { spy: true });
vi.mock('hyparquet', { spy: true });
vi.mock('node:zlib', { spy: true });
vi.mock('papaparse', async (original) => {
  const library = await original<typeof papaparse>();
  return { ...library, parse: vi.fn(library.parse) };
});

/** Decoders, which take memory and time for each value in a file. */
const decoders: Readonly<Record<string, Mock>> = {
  'JSON.parse': vi.spyOn(JSON, 'parse'),
  fromBinary: vi.mocked(fromBinary),
  parquetMetadataAsync: vi.mocked(parquetMetadataAsync),
  parse: vi.mocked(parse),
  gunzipSync: vi.mocked(gunzipSync),
  unzip: vi.spyOn(ZipFile.prototype, 'openReadStreamPromise'),
  'GGUF texts': vi.spyOn(GgufReader.prototype, 'string'),
};
const decoderCalls = (): Record<string, number> =>
  Object.fromEntries(
    Object.entries(decoders)
      .map(([name, { mock }]): [string, number] => [name, mock.calls.length])
      .filter(([, calls]) => calls > 0),
  );
/** The key of a list is read before its length. Unpacking has a limit of its own, tested below. */
const allowedCalls: Readonly<Record<string, Record<string, number>>> = {
  'a.gguf': { 'GGUF texts': 1 },
  'train-images-idx3-ubyte.gz': { gunzipSync: 1 },
};

it.each(distinct)(
  '%s: a bomb is refused before it is decoded',
  async (name, bombs, kind, open, problem) => {
    const path = join(folder, name);
    writeFileSync(path, bombs[kind]?.() ?? '');
    writeFileSync(join(folder, 'train-labels-idx1-ubyte'), Buffer.from([0, 0, 8, 1, 0, 0, 0, 0]));
    vi.clearAllMocks();
    await expect(Promise.resolve(path).then(open)).rejects.toThrow(problem);
    expect(decoderCalls()).toEqual(allowedCalls[name] ?? {});
    for (const [, options] of vi.mocked(gunzipSync).mock.calls) {
      expect(options?.maxOutputLength).toBeLessThanOrEqual(64 << 20);
    }
  },
);

const fixtures = join(import.meta.dirname, '../../fixtures');
const table = join(folder, 'sound.csv');
writeFileSync(table, 'x,label\n1,0\n2,1\n');

it.each<[string, (path: string) => unknown, string]>([
  ['models/llama-bf16/model.safetensors', openSafetensors, 'JSON.parse'],
  ['onnx/llama-dynamo/model.onnx', openOnnx, 'fromBinary'],
  ['gguf/llama.gguf', readGgufHeader, 'GGUF texts'],
  ['examples/arrays.npz', readNpz, 'unzip'],
  ['examples/tables/snappy.parquet', openParquet, 'parquetMetadataAsync'],
  [table, openDataset, 'parse'],
])('%s: a sound file is decoded', async (name, open, decoder) => {
  vi.clearAllMocks();
  await open(resolve(fixtures, name));
  expect(decoders[decoder]).toHaveBeenCalled();
});
