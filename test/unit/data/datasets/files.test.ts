import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openDataset } from '../../../../extension/core/data/datasets/open-dataset';
import { UserError } from '../../../../extension/core/user-error';
import type { Failure } from '../../fail-with';
import { temporaryFolder } from '../../temporary-folder';
import { floatNpy, int64Npy, npyBytes, npyHeader, zipBytes } from '../npy-file';
import { inEnglish } from '../../../../extension/core/message';
import { randomRuns } from '../../sample';

const folder = temporaryFolder();
const pictures = join(import.meta.dirname, '../../../fixtures/examples/images');

function file(name: string, bytes: Uint8Array | string): string {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
  return path;
}

function idxBytes(type: number, dims: readonly number[], data: Uint8Array): Buffer {
  const header = Buffer.alloc(4 + dims.length * 4);
  header.set([0, 0, type, dims.length]);
  dims.forEach((size, i) => header.writeUInt32BE(size, 4 + i * 4));
  return Buffer.concat([header, data]);
}

const npz = (name: string, arrays: Readonly<Record<string, Uint8Array>>): string =>
  file(name, zipBytes(Object.entries(arrays).map(([key, data]) => ({ name: `${key}.npy`, data }))));

describe('MNIST files', () => {
  const pixels = Uint8Array.from({ length: 3 * 2 * 2 }, (_, i) => i * 20);
  const images = idxBytes(0x08, [3, 2, 2], pixels);
  const labels = idxBytes(0x08, [3], Uint8Array.of(7, 0, 2));

  it('are images and labels, packed or not', async () => {
    const path = file('mnist/train-images-idx3-ubyte', images);
    file('mnist/train-labels-idx1-ubyte.gz', gzipSync(labels));
    file('mnist/t10k-images-idx3-ubyte.gz', gzipSync(images.subarray(0)));
    file('mnist/t10k-labels-idx1-ubyte', idxBytes(0x08, [3], Uint8Array.of(1, 1, 1)));
    for (const where of [path, dirname(path), join(folder, 'mnist/train-labels-idx1-ubyte.gz')]) {
      const set = await openDataset(where);
      expect(set).toMatchObject({ size: 3, featureShape: [1, 2, 2] });
      expect(set.classNames).toEqual(['0', '1', '2', '3', '4', '5', '6', '7']);
      expect([...set.labels]).toEqual([7, 0, 2]);
      expect([...set.features([2, 0])]).toEqual(
        [160, 180, 200, 220, 0, 20, 40, 60].map((value) => Math.fround(value / 255)),
      );
    }
    const test = await openDataset(dirname(path), { split: 'test', classNames: ['a', 'b'] });
    expect([...test.labels]).toEqual([1, 1, 1]);
    expect(test.classNames).toEqual(['a', 'b']);
    expect(test.fingerprint).not.toBe((await openDataset(path)).fingerprint);
  });

  it('may contain numbers of every type, big-endian', async () => {
    const types: [number, Buffer, number[]][] = [
      [0x09, Buffer.from([0xff, 2]), [-1, 2]],
      [0x0b, Buffer.from([0xff, 0xfe, 1, 0]), [-2, 256]],
      [0x0c, Buffer.from([0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff]), [256, -1]],
      [0x0d, Buffer.from([0x3f, 0x80, 0, 0, 0xc0, 0, 0, 0]), [1, -2]],
      [0x0e, Buffer.from([0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0]), [1, 2]],
    ];
    file('types/labels-idx1-ubyte', idxBytes(0x08, [2], Uint8Array.of(0, 1)));
    for (const [type, data, values] of types) {
      const set = await openDataset(file('types/images-idx3-ubyte', idxBytes(type, [2], data)));
      expect([...set.features([0, 1])]).toEqual(values);
    }
  });

  const faults: [string, Buffer, Buffer, Failure][] = [
    [
      'labels of another number',
      images,
      idxBytes(8, [2], Uint8Array.of(1, 2)),
      { code: 'label-count-mismatch', file: 'images-idx3-ubyte' },
    ],
    [
      'labels of two axes',
      images,
      idxBytes(8, [3, 1], Uint8Array.of(1, 2, 3)),
      { code: 'idx-labels-mismatch', file: 'labels-idx1-ubyte' },
    ],
    [
      'no IDX',
      Buffer.from('PNG.....'),
      labels,
      { code: 'idx-signature-missing', file: 'images-idx3-ubyte' },
    ],
    [
      'an unknown type',
      idxBytes(7, [3], pixels),
      labels,
      { code: 'idx-signature-missing', file: 'images-idx3-ubyte' },
    ],
    [
      'too few bytes',
      images.subarray(0, 20),
      labels,
      { code: 'idx-size-mismatch', file: 'images-idx3-ubyte' },
    ],
    [
      'a header cut off',
      images.subarray(0, 10),
      labels,
      { code: 'header-truncated', file: 'images-idx3-ubyte' },
    ],
    [
      'sizes beyond memory',
      idxBytes(8, [2 ** 32 - 1, 2 ** 32 - 1, 9], pixels),
      labels,
      { code: 'idx-size-mismatch', file: 'images-idx3-ubyte' },
    ],
    [
      'no examples',
      idxBytes(8, [0, 2, 2], Buffer.alloc(0)),
      idxBytes(8, [0], Buffer.alloc(0)),
      { code: 'examples-missing', file: 'images-idx3-ubyte' },
    ],
    [
      'a value that is no number',
      idxBytes(13, [3], Buffer.from('000000007fc0000000000000', 'hex')),
      labels,
      { code: 'example-not-finite', file: 'images-idx3-ubyte', field: 'row 2' },
    ],
  ];
  it.each(faults)('are refused with %s', async (name, first, second, message) => {
    const path = file(`idx-${name}/images-idx3-ubyte`, first);
    file(`idx-${name}/labels-idx1-ubyte`, second);
    await expect(openDataset(path)).rejects.toFailWith(message);
  });

  it('are refused without labels, with unknown ones, or when they unpack to far too much', async () => {
    const alone = file('alone/images-idx3-ubyte', images);
    await expect(openDataset(alone)).rejects.toFailWith({
      code: 'labels-file-missing',
      file: 'images-idx3-ubyte',
      remedy: /Put labels-idx1-ubyte/,
    });
    file('alone/labels-idx1-ubyte', labels);
    await expect(openDataset(alone, { classNames: ['a', 'b'] })).rejects.toFailWith({
      code: 'label-unknown',
      file: 'labels-idx1-ubyte',
      field: 'row 1',
      remedy: /There are 2 classes, 0 to 1/,
    });
    file('bomb/labels-idx1-ubyte', labels);
    const bomb = file('bomb/images-idx3-ubyte.gz', gzipSync(Buffer.alloc(1 << 24)));
    await expect(openDataset(bomb)).rejects.toFailWith({
      code: 'idx-signature-missing',
      file: 'images-idx3-ubyte.gz',
    });
    const cut = file('bomb/images-idx3-ubyte.gz', gzipSync(images).subarray(0, 20));
    await expect(openDataset(cut)).rejects.toFailWith({
      code: 'archive-undecodable',
      file: 'images-idx3-ubyte.gz',
    });
  });
});

describe('CIFAR files', () => {
  /** Records whose pixels are all their number. */
  const batch = (labelBytes: number, labels: readonly number[]): Buffer =>
    Buffer.concat(
      labels.map((label, i) =>
        Buffer.concat([
          Buffer.alloc(labelBytes - 1, 99),
          Buffer.from([label]),
          Buffer.alloc(3072, i),
        ]),
      ),
    );

  it('are batches with the names of the classes', async () => {
    file('c10/data_batch_2.bin', batch(1, [9]));
    file('c10/data_batch_1.bin', batch(1, [3, 0]));
    file('c10/test_batch.bin', batch(1, [1]));
    const set = await openDataset(join(folder, 'c10'));
    expect(set).toMatchObject({ name: 'c10', size: 3, featureShape: [3, 32, 32] });
    expect([...set.labels].map((label) => set.classNames[label])).toEqual([
      'cat',
      'airplane',
      'truck',
    ]);
    const second = set.features([1]);
    expect(second.length).toBe(3072);
    expect(new Set(second)).toEqual(new Set([Math.fround(1 / 255)]));
    expect((await openDataset(join(folder, 'c10'), { split: 'test' })).size).toBe(1);
    file('c10/batches.meta.txt', 'a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n');
    expect((await openDataset(join(folder, 'c10/test_batch.bin'))).classNames[1]).toBe('b');
  });

  it('of a hundred classes have the fine label last', async () => {
    file('c100/train.bin', batch(2, [1, 0]));
    file('c100/fine_label_names.txt', 'apple\nbear\n');
    const set = await openDataset(join(folder, 'c100'));
    expect([...set.labels].map((label) => set.classNames[label])).toEqual(['bear', 'apple']);
  });

  it('are refused when cut off, or with a label beyond the names', async () => {
    const cut = file('cut/test_batch.bin', batch(1, [1, 2]).subarray(0, 5000));
    await expect(openDataset(cut)).rejects.toFailWith({
      code: 'cifar-size-invalid',
      file: 'test_batch.bin',
    });
    const beyond = file('beyond/test_batch.bin', batch(1, [1, 10]));
    await expect(openDataset(beyond)).rejects.toFailWith({
      code: 'label-unknown',
      file: 'test_batch.bin',
      field: 'row 2',
    });
  });
});

describe('arrays', () => {
  const x = floatNpy([3, 2], [0, 1, 2, 3, 4, 5]);
  const y = int64Npy([3], [1, 0, 2]);

  it('can be in one archive, by default or given names', async () => {
    for (const names of [
      ['x', 'y'],
      ['X_train', 'y_train'],
      ['data', 'labels'],
      ['images', 'target'],
    ] as const) {
      const set = await openDataset(npz('set.npz', { [names[0]]: x, [names[1]]: y }));
      expect(set).toMatchObject({
        name: 'set.npz',
        size: 3,
        featureShape: [2],
        classNames: ['0', '1', '2'],
      });
      expect([...set.features(Int32Array.of(2, 0))]).toEqual([4, 5, 0, 1]);
      expect([...set.labels]).toEqual([1, 0, 2]);
    }
    const path = npz('both.npz', {
      x_train: x,
      y_train: y,
      x_test: floatNpy([1, 2], [8, 9]),
      y_test: int64Npy([1], [0]),
      other: int64Npy([3], [4, 4, 4]),
    });
    expect([...(await openDataset(path, { split: 'test' })).features([0])]).toEqual([8, 9]);
    expect([...(await openDataset(path, { label: 'other' })).labels]).toEqual([4, 4, 4]);
  });

  it('can be in two files of one folder', async () => {
    for (const [first, second] of [
      ['x.npy', 'y.npy'],
      ['X_train.npy', 'y_train.npy'],
      ['train_images.npy', 'train_labels.npy'],
    ] as const) {
      const path = file(`two-${first}/${first}`, x);
      const labels = file(`two-${first}/${second}`, y);
      expect(labels).toContain(second);
      expect((await openDataset(path)).size).toBe(3);
      expect((await openDataset(dirname(path))).size).toBe(3);
    }
  });

  it('of bytes are images between 0 and 1, and labels may be rows with a single 1', async () => {
    const image = npyBytes(npyHeader('|u1', [2, 2, 1]), Uint8Array.of(0, 51, 102, 255));
    const rows = floatNpy([2, 3], [0, 0, 1, 1, 0, 0]);
    const set = await openDataset(npz('bytes.npz', { x: image, y: rows }), {
      classNames: ['a', 'b', 'c'],
    });
    expect([...set.features([0, 1])]).toEqual([0, 51 / 255, 102 / 255, 1].map(Math.fround));
    expect([...set.labels].map((label) => set.classNames[label])).toEqual(['c', 'a']);
    expect(set.featureShape).toEqual([2, 1]);
  });

  const faults: [string, Record<string, Uint8Array>, Failure][] = [
    ['no labels', { x }, { code: 'labels-array-missing', file: 'set.npz' }],
    ['no features', { y }, { code: 'features-array-missing', file: 'set.npz' }],
    [
      'labels of another number',
      { x, y: int64Npy([2], [0, 1]) },
      { code: 'label-count-mismatch', file: 'set.npz' },
    ],
    [
      'negative labels',
      { x, y: int64Npy([3], [0, -1, 1]) },
      { code: 'label-unknown', file: 'set.npz', field: 'y: row 2' },
    ],
    [
      'labels that are no classes',
      { x, y: int64Npy([3], [0, 1, 2_000_000]) },
      { code: 'label-unknown', file: 'set.npz', field: 'y: row 3', remedy: /Labels are integers/ },
    ],
    [
      'labels with fractions',
      { x, y: floatNpy([3], [0, 1, 2]) },
      { code: 'labels-not-integers', file: 'set.npz' },
    ],
    [
      'rows with two classes',
      { x, y: floatNpy([3, 2], [0, 1, 1, 1, 0, 1]) },
      { code: 'one-hot-invalid', file: 'set.npz', field: 'y: row 2' },
    ],
    [
      'a value that is not finite',
      { x: floatNpy([3, 2], [0, 1, 2, 3, Number.NaN, 5]), y },
      { code: 'example-not-finite', file: 'set.npz', field: 'row 3' },
    ],
    [
      'a single number',
      { x: floatNpy([], [1]), y: int64Npy([1], [0]) },
      { code: 'array-scalar', file: 'set.npz' },
    ],
    [
      'no examples',
      { x: floatNpy([0, 2], []), y: int64Npy([0], []) },
      { code: 'examples-missing', file: 'set.npz' },
    ],
  ];
  it.each(faults)('are refused with %s', async (_, arrays, message) => {
    const path = npz('set.npz', arrays);
    await expect(openDataset(path)).rejects.toFailWith(message);
  });

  it('are refused without a labels file', async () => {
    const path = file('lonely/x.npy', x);
    await expect(openDataset(path)).rejects.toFailWith({
      code: 'labels-file-missing',
      file: 'x.npy',
      remedy: /Put y\.npy/,
    });
    await expect(openDataset(dirname(path))).rejects.toFailWith({
      code: 'dataset-missing',
      file: 'lonely',
    });
  });
});

describe('a folder of images', () => {
  const put = (name: string, image: string): void => {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    copyFileSync(join(pictures, image), path);
  };

  it('has a class for each of its folders', async () => {
    put('zoo/owl/a.png', 'rgb.png');
    put('zoo/cat/b.png', 'rgba.png');
    put('zoo/cat/deep/c.png', 'gray.png');
    file('zoo/readme.txt', '');
    const set = await openDataset(join(folder, 'zoo'));
    expect(set).toMatchObject({ size: 3, featureShape: [3, 22, 30], classNames: ['cat', 'owl'] });
    expect([...set.labels]).toEqual([0, 0, 1]);
    const values = set.features([2]);
    expect(values.length).toBe(3 * 22 * 30);
    expect(Math.max(...values)).toBe(1);
    const small = await openDataset(join(folder, 'zoo'), {
      imageSize: { height: 4, width: 5 },
      imageChannels: 1,
      classNames: ['owl', 'dog', 'cat'],
    });
    expect(small.featureShape).toEqual([1, 4, 5]);
    expect(set.warnings.map(inEnglish)).toEqual([`${join(folder, 'zoo')}: 1 other file skipped.`]);
    expect(small.warnings.map(inEnglish)[1]).toBe('No example has the class dog.');
    expect([...small.labels]).toEqual([2, 2, 0]);
  });

  it('may be in parts', async () => {
    put('parts/train/a/1.png', 'rgb.png');
    put('parts/test/b/1.png', 'rgb.png');
    expect((await openDataset(join(folder, 'parts'))).classNames).toEqual(['a']);
    expect((await openDataset(join(folder, 'parts'), { split: 'test' })).classNames).toEqual(['b']);
  });

  it('is refused if images differ in size, have no class, or are missing', async () => {
    put('sizes/a/1.png', 'rgb.png');
    put('sizes/a/2.png', 'turned-1.png');
    await expect(openDataset(join(folder, 'sizes'))).rejects.toFailWith({
      code: 'image-size-mismatch',
      file: '2.png',
    });
    put('loose/1.png', 'rgb.png');
    await expect(openDataset(join(folder, 'loose'))).rejects.toFailWith({
      code: 'image-without-class',
      file: '1.png',
    });
    file('broken/a/1.png', 'not a picture');
    await expect(openDataset(join(folder, 'broken'))).rejects.toFailWith({
      code: 'image-format-unsupported',
      file: '1.png',
    });
    await expect(openDataset(join(folder, 'zoo'), { classNames: ['cat'] })).rejects.toFailWith({
      code: 'label-unknown',
      file: 'zoo',
      field: 'row 3',
      remedy: /The classes are cat/,
    });
    const huge = { height: 30_000, width: 30_000 };
    await expect(openDataset(join(folder, 'zoo'), { imageSize: huge })).rejects.toFailWith({
      code: 'image-size-unsupported',
      remedy: /Images may have/,
    });
  });
});

describe('an invalid dataset', () => {
  it('is named, with a valid alternative', async () => {
    await expect(openDataset(join(folder, 'nowhere'))).rejects.toFailWith({
      code: 'path-missing',
      file: 'nowhere',
    });
    await expect(openDataset(file('a.xlsx', ''))).rejects.toFailWith({
      code: 'file-type-unsupported',
      file: 'a.xlsx',
    });
    mkdirSync(join(folder, 'void'));
    await expect(openDataset(join(folder, 'void'))).rejects.toFailWith({
      code: 'dataset-missing',
      file: 'void',
    });
  });

  it('only fails with a clear error, for any bytes', async () => {
    const names = [
      'a.npz',
      'a.npy',
      'a.csv',
      'a.jsonl',
      'test_batch.bin',
      'images-idx3-ubyte',
      'images-idx3-ubyte.gz',
    ];
    file('any/labels-idx1-ubyte', idxBytes(8, [1], Uint8Array.of(0)));
    file('any/y.npy', int64Npy([1], [0]));
    const starts = fc.constantFrom(
      '',
      'PK\x03\x04',
      '\x93NUMPY\x01\0v\0',
      '\0\0\x08\x01\0\0\0\x01',
      '{"label":',
      'a,label\n',
    );
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...names),
        starts,
        fc.uint8Array({ maxLength: 200 }),
        async (name, start, bytes) => {
          const path = file(`any/${name}`, Buffer.concat([Buffer.from(start, 'latin1'), bytes]));
          const result = await openDataset(path).catch((error: unknown) => error);
          if (!(result instanceof UserError)) {
            expect(result).toMatchObject({ size: expect.any(Number) as number });
          }
        },
      ),
      { numRuns: randomRuns(500, 125) },
    );
  });
});
