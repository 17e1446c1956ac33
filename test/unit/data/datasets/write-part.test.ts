import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import process from 'node:process';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { datasetSubset } from '../../../../extension/core/data/datasets/dataset';
import { CancelledError, unattended } from '../../../../extension/core/jobs/job';
import type { StageProgress } from '../../../../extension/core/jobs/job';
import { exportPart } from '../../../../extension/core/data/datasets/export-part';
import { openDataset } from '../../../../extension/core/data/datasets/open-dataset';
import { readNpz } from '../../../../extension/core/data/npz';
import { temporaryFolder } from '../../temporary-folder';
import { endedOwner, readOwner } from '../../jobs/owners';
import { floatNpy, int64Npy, npyBytes, npyHeader, zipBytes } from '../npy-file';

const folder = temporaryFolder();
const examples = join(import.meta.dirname, '../../../fixtures/examples');

function file(name: string, bytes: Uint8Array | string): string {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
  return path;
}

const counting = (length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 7) % 256);

function idx(type: number, dims: readonly number[], data: Uint8Array): Buffer {
  const header = Buffer.alloc(4 + dims.length * 4);
  header.set([0, 0, type, dims.length]);
  dims.forEach((size, i) => header.writeUInt32BE(size, 4 + i * 4));
  return Buffer.concat([header, data]);
}

const x = floatNpy([5, 2], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
const y = int64Npy([5], [2, 0, 1, 1, 2]);

/** A dataset in each format, as the path that opens it. */
const forms: Record<string, () => string> = {
  'IDX, packed': () => {
    file('idx/train-images-idx3-ubyte.gz', gzipSync(idx(8, [5, 2, 3], counting(30))));
    return dirname(file('idx/train-labels-idx1-ubyte', idx(8, [5], Uint8Array.of(4, 0, 1, 1, 4))));
  },
  'IDX of 16 bits': () => {
    file('idx16/images-idx3-ubyte', idx(0x0b, [5, 2], counting(20)));
    return file('idx16/labels-idx1-ubyte', idx(8, [5], Uint8Array.of(0, 1, 0, 1, 1)));
  },
  CIFAR: () => {
    const rows = [3, 1, 2, 0, 9].map((label) =>
      Buffer.concat([Buffer.of(label), counting(3072 + label).subarray(label)]),
    );
    file('cifar/data_batch_2.bin', Buffer.concat(rows.slice(2)));
    file('cifar/batches.meta.txt', Array.from({ length: 10 }, (_, i) => `class ${i}`).join('\n'));
    return dirname(file('cifar/data_batch_1.bin', Buffer.concat(rows.slice(0, 2))));
  },
  '.npz': () =>
    file(
      'set.npz',
      zipBytes(
        [...Object.entries({ x, y })].map(([name, data]) => ({ name: `${name}.npy`, data })),
      ),
    ),
  '.npy': () => {
    file('npy/y.npy', y);
    return file('npy/x.npy', x);
  },
  'a table': () => file('a.csv', 'p;label\n"1";cat\n2;"owl; or not"\n3;cat\n4;dog\n5;dog\n'),
  'texts in a table': () => file('t.csv', 'text,label\n"a, ""b""",1\nc,0\n"d\ne",1\nf,0\ng,1\n'),
  lines: () =>
    file(
      'l.jsonl',
      [2, 0, 1, 1, 2]
        .map((label, i) => JSON.stringify({ id: i, text: `é${i}`, label }))
        .join('\n\n'),
    ),
  'Parquet of images': () => join(examples, 'tables/images.parquet'),
  'Parquet of texts': () => join(examples, 'tables/texts.parquet'),
  'Parquet of lists': () => join(examples, 'tables/lists.parquet'),
  'Parquet in two files': () => {
    mkdirSync(join(folder, 'parts'), { recursive: true });
    for (const [i, name] of ['zstd', 'gzip'].entries()) {
      copyFileSync(
        join(examples, `tables/${name}.parquet`),
        join(folder, `parts/train-${i}.parquet`),
      );
    }
    return join(folder, 'parts');
  },
  'a folder of images': () => {
    const pictures = readdirSync(join(examples, 'images')).filter((name) => name.endsWith('.png'));
    pictures.slice(0, 5).forEach((name, i) => {
      file(
        `pictures/${i % 2 === 0 ? 'even' : 'odd'}/${name}`,
        readFileSync(join(examples, 'images', name)),
      );
    });
    return join(folder, 'pictures');
  },
};

describe('a part of a dataset in its own format', () => {
  it.each(Object.keys(forms))('%s', async (name) => {
    const path = forms[name]?.() ?? '';
    const options = name === 'a folder of images' ? { imageSize: { height: 4, width: 4 } } : {};
    const set = await openDataset(path, options);
    // Without a test part the same is given for it, by which that can be seen.
    const test = await openDataset(path, { ...options, split: 'test' });
    expect(test.fingerprint).toBe(set.fingerprint);
    const chosen = Int32Array.from([0, 2, set.size - 1]);
    const out = join(folder, `out-${name}`);
    const written = await exportPart(set, chosen, out, unattended);
    expect(written.length).toBeGreaterThan(0);
    const target = written.length === 1 ? (written[0] ?? '') : out;
    const part = await openDataset(target, { ...options, classNames: set.classNames });
    const expected = datasetSubset(set, chosen);
    expect(part.featureShape).toEqual(set.featureShape);
    expect([...part.labels]).toEqual([...expected.labels]);
    expect([...part.features([0, 1, 2])]).toEqual([...expected.features([0, 1, 2])]);
    expect([0, 1, 2].map((i) => part.text?.(i))).toEqual([0, 1, 2].map((i) => expected.text?.(i)));
    // A part of a part is written with the indices of the whole.
    const again = join(folder, `again-${name}`);
    const [only = ''] = await exportPart(expected, Int32Array.of(1), again, unattended);
    const one = await openDataset(
      name.includes('IDX') || name === 'CIFAR' || name.includes('folder') ? again : only,
      {
        ...options,
        classNames: set.classNames,
      },
    );
    expect([...one.labels]).toEqual([expected.labels[1]]);
    // A copy with another label for one example; the dataset is unchanged.
    const other = [...set.labels].find((label) => label !== set.labels[0]) ?? 0;
    const all = Int32Array.from({ length: set.size }, (_, i) => i);
    const copy = join(folder, `relabeled-${name}`);
    const files = await exportPart(set, all, copy, unattended, new Map([[0, other]]));
    const relabeled = await openDataset(files.length === 1 ? (files[0] ?? '') : copy, {
      ...options,
      classNames: set.classNames,
    });
    const sorted = (labels: Int32Array) => [...labels].sort();
    expect(sorted(relabeled.labels)).toEqual(sorted(set.labels.with(0, other)));
    const isMoved = name === 'a folder of images';
    expect(relabeled.labels[0] === other || isMoved).toBe(true);
    expect((await openDataset(path, options)).fingerprint).toBe(set.fingerprint);
  });

  it('uses a free name for a picture of another class, and refuses a class without example', async () => {
    const picture = readFileSync(join(examples, 'images', 'rgb.png'));
    for (const name of ['a/1.png', 'b/1.png', 'b/2.png']) file(`same/${name}`, picture);
    const set = await openDataset(join(folder, 'same'));
    const out = join(folder, 'same-relabeled');
    await exportPart(set, Int32Array.of(0, 1, 2), out, unattended, new Map([[0, 1]]));
    expect(readdirSync(join(out, 'b')).sort()).toEqual(['1-2.png', '1.png', '2.png']);
    const named = await openDataset(join(folder, 'same'), { classNames: ['a', 'b', '../c'] });
    const outside = join(folder, 'same-outside');
    await expect(
      exportPart(named, Int32Array.of(0), outside, unattended, new Map([[0, 2]])),
    ).rejects.toFailWith({ code: 'class-without-example', file: 'same', field: 'relabel' });
    const table = await openDataset(file('few.csv', 'p,label\n1,cat\n2,cat\n'), {
      classNames: ['cat', 'dog'],
    });
    const refused = join(folder, 'refused');
    await expect(
      exportPart(table, Int32Array.of(0), refused, unattended, new Map([[0, 1]])),
    ).rejects.toFailWith({ code: 'class-without-example', file: 'few.csv', field: 'relabel' });
    expect(existsSync(refused)).toBe(false);
  });

  it('writes a single 1 of half precision as such', async () => {
    const [zero, one] = [0, 0x3c00];
    const bits = Uint16Array.of(one, zero, zero, zero, one, zero);
    const entries = [
      { name: 'x.npy', data: floatNpy([2, 2], [1, 2, 3, 4]) },
      { name: 'y.npy', data: npyBytes(npyHeader('<f2', [2, 3]), new Uint8Array(bits.buffer)) },
    ];
    const set = await openDataset(file('half.npz', zipBytes(entries)));
    const out = join(folder, 'half-relabeled');
    const changed = new Map([[0, 2]]);
    const [written = ''] = await exportPart(set, Int32Array.of(0, 1), out, unattended, changed);
    const arrays = await readNpz(written);
    expect([...(arrays.get('y')?.data ?? [])]).toEqual([zero, zero, one, zero, one, zero]);
    expect([...(await openDataset(written)).labels]).toEqual([2, 1]);
  });

  it('refuses a class number above the range of the label type', async () => {
    const labels = npyBytes(npyHeader('|u1', [2]), Uint8Array.of(0, 1));
    const entries = [
      { name: 'x.npy', data: floatNpy([2, 2], [1, 2, 3, 4]) },
      { name: 'y.npy', data: labels },
    ];
    const classNames = Array.from({ length: 300 }, (_, i) => `class ${i}`);
    const set = await openDataset(file('small.npz', zipBytes(entries)), { classNames });
    const out = join(folder, 'small-relabeled');
    await expect(
      exportPart(set, Int32Array.of(0, 1), out, unattended, new Map([[0, 299]])),
    ).rejects.toFailWith({ code: 'class-unknown', file: 'small.npz' });
    expect(existsSync(out)).toBe(false);
  });

  it('keeps the other arrays of an archive: rows of each example in part, the test data whole', async () => {
    const label = npyBytes(npyHeader('|u1', [5]), Uint8Array.of(0, 1, 0, 1, 1));
    const archive = { x_train: x, y_train: label, weight: label, x_test: x, y_test: label };
    const entries = Object.entries(archive).map(([name, data]) => ({ name: `${name}.npy`, data }));
    const set = await openDataset(file('all.npz', zipBytes(entries)));
    const [written = ''] = await exportPart(
      set,
      Int32Array.of(1, 4),
      join(folder, 'all'),
      unattended,
    );
    expect(basename(written)).toBe('all.npz');
    const arrays = await readNpz(written);
    expect([...arrays].map(([name, { dims }]) => [name, dims[0]])).toEqual([
      ['x_train', 2],
      ['y_train', 2],
      ['weight', 2],
      ['x_test', 5],
      ['y_test', 5],
    ]);
    expect([...(arrays.get('weight')?.data ?? [])]).toEqual([1, 1]);
  });

  it.each(Object.keys(forms))('leaves nothing when it is canceled: %s', async (name) => {
    const options = name === 'a folder of images' ? { imageSize: { height: 4, width: 4 } } : {};
    const set = await openDataset(forms[name]?.() ?? '', options);
    const out = join(folder, 'new', 'deeper', 'cancelled');
    // Cancelled as soon as anything has been written.
    const reported: number[] = [];
    const cancellation = {
      get isCancellationRequested() {
        return reported.length > 0;
      },
    };
    const progress = ({ done, total }: StageProgress): void => {
      expect(done).toBeGreaterThan(0);
      expect(done).toBeLessThanOrEqual(total);
      reported.push(done);
    };
    const writing = exportPart(set, Int32Array.of(0, 1, 2), out, { cancellation, progress });
    await expect(writing).rejects.toThrow(CancelledError);
    expect(reported).toHaveLength(1);
    expect(existsSync(join(folder, 'new'))).toBe(false);
  });

  it('removes the leftovers of a killed process', async () => {
    const stale = join(folder, `.whole.espalier-partial-${endedOwner()}`);
    const running = join(folder, `.whole.espalier-partial-${readOwner(process.ppid)}`);
    mkdirSync(join(stale, 'inner'), { recursive: true });
    mkdirSync(running);
    const set = await openDataset(file('k.csv', 'p,label\n1,a\n2,b\n'));
    await exportPart(set, Int32Array.of(0), join(folder, 'whole'), unattended);
    expect(existsSync(stale)).toBe(false);
    expect(existsSync(running)).toBe(true);
  });

  it('is not written over anything', async () => {
    const set = await openDataset(file('b.csv', 'p,label\n1,a\n2,b\n'));
    await expect(exportPart(set, Int32Array.of(0), folder, unattended)).rejects.toFailWith({
      code: 'folder-not-empty',
      file: expect.any(String),
    });
    await expect(
      exportPart(set, Int32Array.of(0), join(folder, 'b.csv/x'), unattended),
    ).rejects.toFailWith({ code: 'examples-not-writable', file: 'x' });
  });
});
