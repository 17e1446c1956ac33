import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { unparse } from 'papaparse';
import { describe, expect, it } from 'vitest';
import type { DatasetOptions } from '../../../../extension/core/data/datasets/dataset';
import { openDataset } from '../../../../extension/core/data/datasets/open-dataset';
import { readNpz } from '../../../../extension/core/data/npz';
import { UserError } from '../../../../extension/core/user-error';
import type { Failure } from '../../fail-with';
import { temporaryFolder } from '../../temporary-folder';
import { Random } from '../../training/random';
import { randomRuns } from '../../sample';

const folder = temporaryFolder();
const examples = join(import.meta.dirname, '../../../fixtures/examples');
const table = (name: string): string => join(examples, 'tables', name);

function file(name: string, text: string | Uint8Array): string {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  return path;
}

describe('a table in a text', () => {
  it('has numbers and a label in every row', async () => {
    const path = file(
      'iris.csv',
      '\uFEFFwidth,length,species\n0.5,1,owl\n-2e-1, 3 ,cat\n.25,4.,owl\n\n',
    );
    const set = await openDataset(path);
    expect(set).toMatchObject({
      name: 'iris.csv',
      size: 3,
      featureShape: [2],
      classNames: ['cat', 'owl'],
    });
    expect([...set.labels]).toEqual([1, 0, 1]);
    expect([...set.features([1, 2])]).toEqual([-0.2, 3, 0.25, 4].map(Math.fround));
    const chosen = await openDataset(path, {
      features: ['length'],
      classNames: ['owl', 'cat', 'dog'],
    });
    expect([...chosen.features([0, 1])]).toEqual([1, 3]);
    expect([...chosen.labels]).toEqual([0, 1, 0]);
  });

  it('may be separated by semicolons or tabs, and have numbers for labels', async () => {
    for (const [name, separator] of [
      ['a.csv', ';'],
      ['a.tsv', '\t'],
    ] as const) {
      const rows = ['x1,x2,y', '1,2,2', '3,4,0'].map((row) => row.replaceAll(',', separator));
      const set = await openDataset(file(name, rows.join('\r\n')));
      expect([...set.labels]).toEqual([2, 0]);
      expect(set.classNames).toEqual(['0', '1', '2']);
      expect([...set.features([0, 1])]).toEqual([1, 2, 3, 4]);
    }
  });

  it('may have texts', async () => {
    const path = file('texts.csv', 'text,label\n"Well, ""yes""\nand no",good\nÄh,bad\n');
    const set = await openDataset(path);
    expect(set.featureShape).toEqual([0]);
    expect([0, 1].map((i) => set.text?.(i))).toEqual(['Well, "yes"\nand no', 'Äh']);
    expect([...set.labels].map((label) => set.classNames[label])).toEqual(['good', 'bad']);
  });

  it('round-trips every table', async () => {
    const cell = fc.string({ minLength: 1, unit: 'grapheme' }).filter((text) => text.trim() !== '');
    const rows = fc.array(fc.tuple(cell, cell), { minLength: 1, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(rows, async (pairs) => {
        const path = file('any.csv', unparse([['text', 'label'], ...pairs]));
        const set = await openDataset(path, {
          classNames: [...new Set(pairs.map(([, label]) => label))],
        });
        expect(pairs.map((_, i) => set.text?.(i))).toEqual(pairs.map(([text]) => text));
        expect([...set.labels].map((label) => set.classNames[label])).toEqual(
          pairs.map(([, label]) => label),
        );
      }),
    );
  });

  const faults: [string, string, DatasetOptions, Failure][] = [
    [
      'a row too short',
      'a,b,label\n1,2,x\n1,x\n',
      {},
      { code: 'csv-row-length-mismatch', file: 't.csv', field: 'row 2' },
    ],
    [
      'a row too long',
      'a,label\n1,x\n1,2,x\n',
      {},
      { code: 'csv-row-length-mismatch', file: 't.csv', field: 'row 2' },
    ],
    [
      'no label',
      'a,label\n1,x\n2,\n',
      {},
      { code: 'label-missing', file: 't.csv', field: 'row 2, label' },
    ],
    [
      'an unknown label',
      'a,label\n1,x\n2,z\n',
      { classNames: ['x', 'y'] },
      {
        code: 'label-unknown',
        file: 't.csv',
        field: 'row 2, label',
        remedy: /The classes are x, y/,
      },
    ],
    [
      'a value that is no number',
      'a,label\n1,x\n?,y\n',
      {},
      { code: 'value-not-number', file: 't.csv', field: 'row 2, a' },
    ],
    [
      'a value that is not finite',
      'a,label\nNaN,x\n',
      {},
      { code: 'value-not-number', file: 't.csv', field: 'row 1, a' },
    ],
    [
      'a number too large',
      'a,label\n1,x\n1e99,x\n',
      {},
      { code: 'example-not-finite', file: 't.csv', field: 'row 2' },
    ],
    [
      'a value that is missing',
      'a,b,label\n1,,x\n',
      {},
      { code: 'value-missing', file: 't.csv', field: 'row 1, b' },
    ],
    ['no column of labels', 'a,b\n1,2\n', {}, { code: 'label-column-missing', file: 't.csv' }],
    [
      'a column that is not there',
      'a,label\n1,x\n',
      { features: ['c'] },
      { code: 'column-missing', file: 't.csv', field: 'c', remedy: /Its columns are a, label/ },
    ],
    [
      'two columns of one name',
      'a,a,label\n1,2,x\n',
      {},
      { code: 'csv-column-duplicate', file: 't.csv' },
    ],
    ['no names', '1,2,3\n4,5,6\n', {}, { code: 'csv-header-empty', file: 't.csv' }],
    ['no rows', 'a,label\n', {}, { code: 'examples-missing', file: 't.csv' }],
    ['nothing', '', {}, { code: 'csv-header-empty', file: 't.csv' }],
    [
      'open quotation marks',
      'a,label\n"1,x\n',
      {},
      { code: 'csv-quotes-unmatched', file: 't.csv', field: 'row 1' },
    ],
  ];
  it.each(faults)('is refused with %s', async (_, text, options, message) => {
    const path = file('t.csv', text);
    await expect(openDataset(path, options)).rejects.toFailWith(message);
  });

  it('is refused when it is not UTF-8', async () => {
    await expect(
      openDataset(file('latin.csv', Buffer.from([0x61, 0xe9, 0x0a]))),
    ).rejects.toFailWith({ code: 'text-not-utf8', file: 'latin.csv' });
  });
});

describe('lines of objects', () => {
  it('have texts or features', async () => {
    const texts = await openDataset(
      file('t.jsonl', '{"text":"a","label":"x"}\n\n{"text":"b","label":"y"}\n'),
    );
    expect([texts.text?.(0), texts.text?.(1)]).toEqual(['a', 'b']);
    expect(texts.classNames).toEqual(['x', 'y']);
    const numbers = await openDataset(
      file(
        'f.jsonl',
        '{"features":[[1,2,3],[4,5,6]],"label":1}\n{"features":[[7,8,9],[0,0.5,0]],"label":0}',
      ),
    );
    expect(numbers.featureShape).toEqual([2, 3]);
    expect([...numbers.features([1])]).toEqual([7, 8, 9, 0, 0.5, 0]);
    expect([...numbers.labels]).toEqual([1, 0]);
    const named = await openDataset(file('n.jsonl', '{"q":"a","c":"x"}'), {
      text: 'q',
      label: 'c',
    });
    expect(named.text?.(0)).toBe('a');
  });

  const faults: [string, string, Failure][] = [
    [
      'that are not JSON',
      '{"text":"a","label":0}\n{"text":',
      { code: 'line-not-json', file: 'l.jsonl', field: 'line 2' },
    ],
    ['that are no objects', '\n[1]', { code: 'line-not-object', file: 'l.jsonl', field: 'line 2' }],
    [
      'without a label',
      '{"text":"a"}',
      { code: 'label-missing', file: 'l.jsonl', field: 'line 1: label' },
    ],
    [
      'with a list for a label',
      '{"text":"a","label":[1]}',
      { code: 'label-invalid', file: 'l.jsonl', field: 'line 1: label' },
    ],
    [
      'with an empty label',
      '{"text":"a","label":""}',
      { code: 'label-missing', file: 'l.jsonl', field: 'line 1' },
    ],
    [
      'without a text',
      '{"text":"a","label":0}\n{"label":0}',
      { code: 'json-field-not-text', file: 'l.jsonl', field: 'line 2: text' },
    ],
    [
      'without features',
      '{"label":0}',
      { code: 'value-not-number', file: 'l.jsonl', field: 'line 1: features' },
    ],
    [
      'of other lengths',
      '{"features":[1,2],"label":0}\n{"features":[1],"label":0}',
      { code: 'features-ragged', file: 'l.jsonl', field: 'line 2: features' },
    ],
    [
      'of other depths',
      '{"features":[[1],[2]],"label":0}\n{"features":[1,2],"label":0}',
      { code: 'features-ragged', file: 'l.jsonl', field: 'line 2: features' },
    ],
    [
      'with texts for numbers',
      '{"features":[1,"2"],"label":0}',
      { code: 'value-not-number', file: 'l.jsonl', field: 'line 1: features' },
    ],
    [
      'with lists of nothing',
      '{"features":[],"label":0}',
      { code: 'features-empty', file: 'l.jsonl', field: 'line 1: features' },
    ],
    [
      'nested too deeply',
      `{"features":${'['.repeat(5000)}${']'.repeat(5000)},"label":0}`,
      { code: 'line-not-json', file: 'l.jsonl', field: 'line 1' },
    ],
    [
      'with numbers too large',
      '{"features":[1e99],"label":0}',
      { code: 'example-not-finite', file: 'l.jsonl', field: 'row 1' },
    ],
    ['without lines', '\n', { code: 'examples-missing', file: 'l.jsonl' }],
  ];
  it.each(faults)('are refused %s', async (_, text, message) => {
    const path = file('l.jsonl', text);
    await expect(openDataset(path)).rejects.toFailWith(message);
  });
});

describe('a Parquet table', () => {
  it('has images and names of classes, as the library datasets saves them', async () => {
    const set = await openDataset(table('images.parquet'));
    expect(set).toMatchObject({
      size: 7,
      featureShape: [3, 6, 5],
      classNames: ['cat', 'dog', 'owl'],
    });
    expect([...set.labels]).toEqual([0, 1, 2, 2, 1, 0, 0]);
    const golden = await readNpz(join(examples, 'tables.npz'));
    for (let i = 0; i < 7; i++) {
      const pixels = golden.get(String(i))?.data as Uint8Array;
      const expected = Array.from(
        { length: 90 },
        (_, k) => (pixels[(k % 30) * 3 + Math.floor(k / 30)] ?? 0) / 255,
      );
      expect([...set.features([i])]).toEqual(expected.map(Math.fround));
    }
  });

  it('has texts, in several groups of rows', async () => {
    const set = await openDataset(table('texts.parquet'));
    expect(set).toMatchObject({ size: 2500, featureShape: [0], classNames: ['cat', 'dog', 'owl'] });
    for (const i of [0, 999, 1000, 1199, 1200, 2499]) {
      expect(set.text?.(i)).toBe(`text ${i} – é 🌳`);
      expect(set.labels[i]).toBe(i % 3);
    }
  });

  it.each(['none', 'snappy', 'gzip', 'brotli', 'zstd'])(
    'has columns of numbers: %s',
    async (name) => {
      const set = await openDataset(table(`${name}.parquet`));
      expect(set).toMatchObject({ size: 20, featureShape: [3], classNames: ['cat', 'owl'] });
      expect([...set.features([3, 12])]).toEqual([0.375, 3, 0, 1.5, 12, 1]);
      expect(set.labels[3]).toBe(0);
      expect(set.labels[4]).toBe(1);
    },
  );

  it('has lists of numbers', async () => {
    const set = await openDataset(table('lists.parquet'));
    const lists = JSON.parse(readFileSync(table('lists.json'), 'utf8')) as number[][][];
    expect(set.featureShape).toEqual([2, 3]);
    expect([...set.features([0, 1, 2, 3])]).toEqual(lists.flat(2));
    expect([...set.labels]).toEqual([3, 0, 1, 1]);
  });

  it('may be in several files, by part', async () => {
    const parts = join(folder, 'parts/data');
    mkdirSync(parts, { recursive: true });
    copyFileSync(table('zstd.parquet'), join(parts, 'train-00000-of-00002.parquet'));
    copyFileSync(table('gzip.parquet'), join(parts, 'train-00001-of-00002.parquet'));
    copyFileSync(table('none.parquet'), join(parts, 'test-00000-of-00001.parquet'));
    const set = await openDataset(dirname(parts));
    expect(set.size).toBe(40);
    expect([...set.features([23])]).toEqual([0.375, 3, 0]);
    expect((await openDataset(dirname(parts), { split: 'test' })).size).toBe(20);
    await expect(openDataset(dirname(parts), { classNames: ['owl'] })).rejects.toFailWith({
      code: 'label-unknown',
      file: 'train-00000-of-00002.parquet',
      field: 'row 1, species',
    });
    await expect(
      openDataset(dirname(parts), { features: ['species'], label: 'c' }),
    ).rejects.toFailWith({
      code: 'value-not-number',
      file: 'train-00000-of-00002.parquet',
      field: 'row 1, species',
    });
  });

  const faults: [string, string, DatasetOptions, Failure][] = [
    [
      'a label missing',
      'no-label.parquet',
      {},
      { code: 'label-invalid', file: 'no-label.parquet', field: 'row 2, label' },
    ],
    [
      'a value missing',
      'no-value.parquet',
      {},
      {
        code: 'value-not-number',
        file: 'no-value.parquet',
        field: 'row 2, a',
        remedy: /The features could be the columns a/,
      },
    ],
    [
      'an unknown compression',
      'lz4.parquet',
      {},
      { code: 'parquet-unreadable', file: 'lz4.parquet' },
    ],
    [
      'a column that is not there',
      'none.parquet',
      { label: 'z' },
      {
        code: 'column-missing',
        file: 'none.parquet',
        field: 'z',
        remedy: /Its columns are a, b, c, species/,
      },
    ],
    [
      'a label beyond the classes',
      'texts.parquet',
      { classNames: ['a', 'b'] },
      { code: 'label-unknown', file: 'texts.parquet', field: 'row 3, label' },
    ],
    [
      'images of other sizes asked for',
      'images.parquet',
      { imageSize: { height: 0, width: 1 } },
      { code: 'image-size-unsupported', remedy: /Images may have/ },
    ],
  ];
  it.each(faults)('is refused with %s', async (_, name, options, message) => {
    await expect(openDataset(table(name), options)).rejects.toFailWith(message);
  });

  it.each(['snappy.parquet', 'images.parquet', 'lists.parquet'])(
    'is refused when cut off: %s',
    async (name) => {
      const sound = readFileSync(table(name));
      for (let length = 0; length < sound.length; length += 7) {
        const path = file('cut.parquet', sound.subarray(0, length));
        await expect(openDataset(path), `${length}`).rejects.toBeInstanceOf(UserError);
      }
    },
  );

  // The footers differ in the codec alone: each takes every other of the places.
  it.each([
    ['snappy.parquet', 0],
    ['zstd.parquet', 13],
  ])('is refused or read when its footer is damaged: %s', async (name, first) => {
    const sound = readFileSync(table(name));
    const footer = sound.length - 8 - sound.readUInt32LE(sound.length - 8);
    for (let at = footer + first; at < sound.length; at += 26) {
      const bytes = Buffer.from(sound);
      bytes.writeUInt8(bytes.readUInt8(at) ^ 0x15, at);
      const result = await openDataset(file('damaged.parquet', bytes)).catch(
        (error: unknown) => error,
      );
      if (!(result instanceof UserError)) {
        expect(result, `byte ${at}`).toMatchObject({ size: 20 });
      }
    }
  });

  it('is refused if a short run encodes more values than fit into memory', async () => {
    const path = file('run.parquet', hostileRun());
    const error: unknown = await openDataset(path).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UserError);
    expect(String(error)).toMatch(
      /run\.parquet: Its rows can't be decoded in 513 MiB of memory and 6 s/,
    );
  });

  it.each(['none.parquet', 'lists.parquet', 'texts.parquet'])(
    'is refused or read when its pages are damaged: %s',
    async (name) => {
      const sound = readFileSync(table(name));
      const { size } = await openDataset(table(name));
      const pages = sound.length - 8 - sound.readUInt32LE(sound.length - 8);
      const random = new Random(5);
      for (let trial = 0; trial < randomRuns(8, 3); trial++) {
        const bytes = Buffer.from(sound);
        for (let change = random.int(1, 4); change > 0; change--) {
          bytes.writeUInt8(random.int(0, 255), random.int(4, pages - 1));
        }
        const result = await openDataset(file('pages.parquet', bytes)).catch(
          (error: unknown) => error,
        );
        if (!(result instanceof UserError)) {
          expect(result, `trial ${trial}`).toMatchObject({ size });
        }
      }
    },
    // Some damage makes the library count for ever, until time is up.
    240_000,
  );
});

/**
 * A table whose texts are said to be places in a dictionary, in one run of 2³¹ − 1: seven bytes, which the
 * library would unpack to the end of memory.
 */
function hostileRun(): Buffer {
  const texts = Array.from({ length: 20 }, (_, i) => `${'x'.repeat(30)}${i}`);
  const column = { nullable: false, encoding: 'PLAIN' } as const;
  const bytes = Buffer.from(
    parquetWriteBuffer({
      codec: 'UNCOMPRESSED',
      statistics: false,
      columnData: [
        { ...column, name: 'text', data: texts, type: 'STRING' },
        { ...column, name: 'label', data: texts.map((_, i) => i % 2), type: 'INT32' },
      ],
    }),
  );
  // The page's header has the numbers of values, nulls and rows, each after its field's 0x15, then the encoding.
  const counts = Buffer.from('152815001528', 'hex');
  const encoding = bytes.indexOf(counts) + counts.length + 1;
  const dictionary = 8;
  bytes.writeUInt8(2 * dictionary, encoding);
  const width = Buffer.from([1]);
  const run = Buffer.from('feffffff0f', 'hex');
  Buffer.concat([width, run]).copy(bytes, bytes.indexOf('xxx') - 4);
  return bytes;
}
