import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { loadExamples } from '../../../extension/core/data/examples/load-examples';
import type {
  ExamplesRequest,
  LoadedExamples,
} from '../../../extension/core/data/examples/load-examples';
import type { Example } from '../../../extension/core/models/model-input';
import type { InputPort } from '../../../extension/core/models/layered-model';
import { UserError } from '../../../extension/core/user-error';
import type { Failure } from '../fail-with';
import { temporaryFolder } from '../temporary-folder';
import { floatNpy, int64Npy, npyBytes, npyHeader, zipBytes } from './npy-file';
import { inEnglish } from '../../../extension/core/message';
import { randomRuns } from '../sample';

const folder = temporaryFolder();
const images = join(import.meta.dirname, '../../fixtures/examples/images');

const x: InputPort = { name: 'x', dtype: 'F32', shape: ['batch', 3] };
const ids: InputPort = { name: 'input_ids', dtype: 'I64', shape: ['batch', 'sequence'] };
const mask: InputPort = { name: 'attention_mask', dtype: 'I64', shape: ['batch', 'sequence'] };
const pixels: InputPort = { name: 'pixel_values', dtype: 'F32', shape: ['batch', 3, 8, 8] };

function file(name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, bytes);
  return path;
}

const npz = (name: string, arrays: Readonly<Record<string, Uint8Array>>): string =>
  file(name, zipBytes(Object.entries(arrays).map(([key, data]) => ({ name: `${key}.npy`, data }))));

const load = (
  ports: readonly InputPort[],
  request: Partial<ExamplesRequest>,
): Promise<LoadedExamples> => loadExamples({ count: 100, seed: 1, ...request }, ports, folder);

/** The values of an input as plain numbers. */
const values = (example: Example | undefined, name: string): number[] =>
  Array.from<number | bigint, number>(example?.[name]?.data ?? [], Number);

describe('examples from a file', () => {
  it('are the rows of an array, each a batch of one', async () => {
    const path = file('rows.npy', floatNpy([4, 3], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]));
    const { examples, summary, warnings } = await load([x], { file: path });
    expect(examples).toHaveLength(4);
    expect(examples[2]?.['x']).toMatchObject({ dtype: 'F32', dims: [1, 3] });
    expect(values(examples[2], 'x')).toEqual([6, 7, 8]);
    expect(summary).toMatchObject({ source: path, sequences: 4, length: 1, tokens: 4 });
    expect(warnings.map(inEnglish)).toEqual([`${path} has 4 examples; 100 were requested.`]);
  });

  it('are chosen by the seed when there are more', async () => {
    const path = file(
      'many.npy',
      floatNpy(
        [500, 3],
        Array.from({ length: 1500 }, (_, i) => i),
      ),
    );
    const first = await load([x], { file: path, count: 20 });
    const again = await load([x], { file: path, count: 20 });
    const other = await load([x], { file: path, count: 20, seed: 2 });
    const starts = first.examples.map((example) => values(example, 'x')[0] ?? 0);
    expect(starts).toHaveLength(20);
    expect(starts).toEqual([...new Set(starts)].sort((a, b) => a - b));
    expect(Math.max(...starts)).toBeGreaterThan(300);
    expect(again.summary.fingerprint).toBe(first.summary.fingerprint);
    expect(other.summary.fingerprint).not.toBe(first.summary.fingerprint);
    expect(first.warnings).toEqual([]);
  });

  it('may have an axis in front of the model’s, or be one', async () => {
    const fixed: InputPort = { ...x, shape: [2, 3] };
    const batches = file('batches.npy', floatNpy([4, 2, 3], new Array<number>(24).fill(1)));
    expect((await load([fixed], { file: batches })).examples[3]?.['x']?.dims).toEqual([2, 3]);
    const one = file('one.npy', floatNpy([2, 3], new Array<number>(6).fill(1)));
    expect((await load([fixed], { file: one })).examples).toHaveLength(1);
    const unknown: InputPort = { ...x, shape: undefined };
    expect((await load([unknown], { file: one })).examples[1]?.['x']?.dims).toEqual([1, 3]);
  });

  it('have masks, positions and empty caches that follow from the rest', async () => {
    const ports: InputPort[] = [
      ids,
      mask,
      { name: 'position_ids', dtype: 'I64', shape: ['batch', 'sequence'] },
      { name: 'token_type_ids', dtype: 'I32', shape: ['batch', 'sequence'] },
      { name: 'use_cache_branch', dtype: 'BOOL', shape: [1] },
      { name: 'past_key_values.0.key', dtype: 'F32', shape: ['batch', 2, 'past', 4] },
      { name: 'past_1', dtype: 'F16', shape: [2, 'batch', 2, 'past', 4] },
    ];
    const path = npz('text.npz', { input_ids: int64Npy([2, 3], [5, 6, 7, 8, 9, 10]) });
    const { examples, summary } = await load(ports, { file: path });
    const [, second] = examples;
    expect(values(second, 'input_ids')).toEqual([8, 9, 10]);
    expect(second?.['attention_mask']).toEqual({
      dtype: 'I64',
      dims: [1, 3],
      data: BigInt64Array.of(1n, 1n, 1n),
    });
    expect(values(second, 'position_ids')).toEqual([0, 1, 2]);
    expect(second?.['token_type_ids']).toEqual({
      dtype: 'I32',
      dims: [1, 3],
      data: new Int32Array(3),
    });
    expect(values(second, 'use_cache_branch')).toEqual([0]);
    expect(second?.['past_key_values.0.key']).toMatchObject({ dims: [1, 2, 0, 4] });
    expect(second?.['past_1']).toMatchObject({ dims: [2, 1, 2, 0, 4] });
    expect(summary).toMatchObject({ sequences: 2, length: 3, tokens: 6 });
  });

  it('keep a mask that is given', async () => {
    const path = npz('mask.npz', {
      input_ids: int64Npy([2, 3], [5, 6, 7, 8, 9, 10]),
      attention_mask: int64Npy([2, 3], [0, 1, 1, 1, 1, 1]),
    });
    const { examples } = await load([mask, ids], { file: path });
    expect(values(examples[0], 'attention_mask')).toEqual([0, 1, 1]);
    expect(Object.keys(examples[0] ?? {})).toEqual(['attention_mask', 'input_ids']);
  });

  it('are named by the model when an archive has one array for its one input', async () => {
    const path = npz('unnamed.npz', { arr_0: floatNpy([1, 3], [1, 2, 3]) });
    expect(values((await load([x], { file: path })).examples[0], 'x')).toEqual([1, 2, 3]);
  });

  it('report arrays without a matching model input', async () => {
    const path = npz('labels.npz', { x: floatNpy([1, 3], [1, 2, 3]), y: int64Npy([1], [0]) });
    const { warnings } = await load([x], { file: path, count: 1 });
    expect(warnings.map(inEnglish)).toEqual([
      `${path}: skipped arrays that are not inputs of the model: y.`,
    ]);
  });

  const converted: [string, string, string, Uint8Array, number[]][] = [
    [
      'float64 to float32',
      '<f8',
      'F32',
      new Uint8Array(Float64Array.of(0.5, 1, 3).buffer),
      [0.5, 1, 3],
    ],
    [
      'float32 to float16',
      '<f4',
      'F16',
      new Uint8Array(Float32Array.of(0.5, 1, 3).buffer),
      [0x3800, 0x3c00, 0x4200],
    ],
    [
      'float16 to float32',
      '<f2',
      'F32',
      new Uint8Array(Uint16Array.of(0x3800, 0x3c00, 1).buffer),
      [0.5, 1, 2 ** -24],
    ],
    ['int32 to int64', '<i4', 'I64', new Uint8Array(Int32Array.of(-1, 0, 7).buffer), [-1, 0, 7]],
    [
      'int64 to int32',
      '<i8',
      'I32',
      new Uint8Array(BigInt64Array.of(-1n, 0n, 7n).buffer),
      [-1, 0, 7],
    ],
    ['uint8 to float32', '|u1', 'F32', Uint8Array.of(0, 1, 255), [0, 1, 255]],
    ['bool to int64', '|b1', 'I64', Uint8Array.of(0, 1, 1), [0, 1, 1]],
    [
      'int64 to bool',
      '<i8',
      'BOOL',
      new Uint8Array(BigInt64Array.of(1n, 0n, 1n).buffer),
      [1, 0, 1],
    ],
  ];
  it.each(converted)('are converted: %s', async (name, descr, dtype, data, expected) => {
    const path = file(`${name}.npy`, npyBytes(npyHeader(descr, [1, 3]), data));
    const { examples } = await load([{ ...x, dtype }], { file: path });
    expect(examples[0]?.['x']?.dtype).toBe(dtype);
    expect(values(examples[0], 'x')).toEqual(expected);
  });

  const toBytes = (numbers: ArrayBufferView): Uint8Array =>
    new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
  const faults: [string, readonly InputPort[], string, Uint8Array, Failure][] = [
    [
      'no file',
      [x],
      'none.npy',
      Buffer.alloc(0),
      { code: 'npy-signature-missing', file: 'none.npy' },
    ],
    [
      'another kind of file',
      [x],
      'a.csv',
      Buffer.alloc(0),
      { code: 'example-file-unsupported', file: 'a.csv' },
    ],
    [
      'another rank',
      [x],
      'r.npy',
      floatNpy([3], [1, 2, 3]),
      { code: 'input-shape-mismatch', file: 'r.npy', field: 'x' },
    ],
    [
      'another size',
      [x],
      's.npy',
      floatNpy([1, 4], [1, 2, 3, 4]),
      { code: 'input-shape-mismatch', file: 's.npy', field: 'x' },
    ],
    [
      'a value that is no number',
      [x],
      'n.npy',
      floatNpy([2, 3], [1, 2, 3, 4, Number.NaN, 6]),
      { code: 'input-not-finite', file: 'n.npy', field: 'x' },
    ],
    [
      'an infinite float16',
      [x],
      'h.npy',
      npyBytes(npyHeader('<f2', [1, 3]), toBytes(Uint16Array.of(0, 0xfc00, 0))),
      { code: 'input-not-finite', file: 'h.npy', field: 'x' },
    ],
    [
      'fractions for ids',
      [ids],
      'f.npy',
      floatNpy([1, 2], [1, 2]),
      {
        code: 'input-has-fractions',
        file: 'f.npy',
        field: 'input_ids',
        remedy: /Save the array in the shape that the model expects: I64/,
      },
    ],
    [
      'whole numbers too large',
      [{ ...ids, dtype: 'I32' }],
      'i.npy',
      int64Npy([1, 1], [2 ** 31]),
      { code: 'input-out-of-range', file: 'i.npy', field: 'input_ids' },
    ],
    [
      'whole numbers too large for float32',
      [x],
      'w.npy',
      int64Npy([1, 3], [1, 2, 2 ** 24 + 1]),
      { code: 'input-out-of-range', file: 'w.npy', field: 'x' },
    ],
    [
      'negative ids for unsigned ones',
      [{ ...ids, dtype: 'U64' }],
      'u.npy',
      int64Npy([1, 1], [-1]),
      { code: 'input-out-of-range', file: 'u.npy', field: 'input_ids' },
    ],
    [
      'fractions beyond float16',
      [{ ...x, dtype: 'F16' }],
      'l.npy',
      floatNpy([1, 3], [1, 2, 70_000]),
      { code: 'input-out-of-range', file: 'l.npy', field: 'x' },
    ],
    [
      'truth values of 2',
      [{ ...x, dtype: 'BOOL' }],
      't.npy',
      int64Npy([1, 3], [1, 2, 0]),
      { code: 'input-out-of-range', file: 't.npy', field: 'x' },
    ],
    [
      'an input of strings',
      [{ ...x, dtype: 'STRING' }],
      'str.npy',
      int64Npy([1, 3], [1, 2, 0]),
      { code: 'input-dtype-unsupported', file: 'str.npy', field: 'x' },
    ],
    [
      'one array for two inputs',
      [x, { ...x, name: 'z' }],
      'two.npy',
      floatNpy([1, 3], [1, 2, 3]),
      { code: 'inputs-ambiguous', file: 'two.npy' },
    ],
    [
      'no rows',
      [x],
      'empty.npy',
      floatNpy([0, 3], []),
      { code: 'examples-missing', file: 'empty.npy' },
    ],
    [
      'one number',
      [x],
      'scalar.npy',
      floatNpy([], [1]),
      { code: 'input-shape-mismatch', file: 'scalar.npy', field: 'x' },
    ],
  ];
  it.each(faults)('are refused: %s', async (_, ports, name, bytes, message) => {
    const failure = load(ports, { file: file(name, bytes) });
    await expect(failure).rejects.toFailWith(message);
  });

  it('are refused without an input, with other counts or with none that is known', async () => {
    const two = [x, { ...x, name: 'z' }];
    const alone = npz('alone.npz', { x: floatNpy([1, 3], [1, 2, 3]) });
    await expect(load(two, { file: alone })).rejects.toFailWith({
      code: 'input-missing',
      file: 'alone.npz',
      field: 'z',
    });
    const uneven = npz('uneven.npz', {
      x: floatNpy([1, 3], [1, 2, 3]),
      z: floatNpy([2, 3], [1, 2, 3, 4, 5, 6]),
    });
    await expect(load(two, { file: uneven })).rejects.toFailWith({
      code: 'example-count-mismatch',
      file: 'uneven.npz',
      field: 'z',
    });
    const other = npz('other.npz', { a: floatNpy([1, 3], [1, 2, 3]) });
    await expect(load(two, { file: other })).rejects.toFailWith({
      code: 'input-array-missing',
      file: 'other.npz',
      remedy: /Name them as the inputs: x, z/,
    });
    await expect(load([x], { file: join(folder, 'nowhere') })).rejects.toFailWith({
      code: 'path-missing',
      file: 'nowhere',
    });
    await expect(load([x], { file: alone, count: 0 })).rejects.toFailWith({
      code: 'integer-not-positive',
      field: 'count',
    });
  });
});

describe('examples from a folder', () => {
  it('are its images, prepared by the settings in the model folder', async () => {
    const path = join(folder, 'pictures');
    mkdirSync(join(path, 'cats'), { recursive: true });
    copyFileSync(join(images, 'rgb.png'), join(path, 'cats/a.png'));
    copyFileSync(join(images, 'gray.jpg'), join(path, 'b.JPG'));
    writeFileSync(join(path, 'notes.txt'), 'x');
    writeFileSync(join(path, '.hidden.png'), 'x');
    const { examples, summary, warnings } = await load([pixels], { file: path, count: 2 });
    expect(examples.map((example) => example['pixel_values']?.dims)).toEqual([
      [1, 3, 8, 8],
      [1, 3, 8, 8],
    ]);
    expect(summary).toMatchObject({ source: path, sequences: 2, length: 1, tokens: 2 });
    expect(warnings.map(inEnglish)).toEqual([
      expect.stringMatching(/no preprocessor_config\.json/),
      `${path}: 1 other file skipped.`,
    ]);
    const last: InputPort = { name: 'image', dtype: 'F16', shape: ['n', 4, 5, 1] };
    const gray = await load([last], { file: path, count: 1 });
    expect(gray.examples[0]?.['image']).toMatchObject({ dtype: 'F16', dims: [1, 4, 5, 1] });
    const open: InputPort = { ...pixels, shape: ['batch', 'num_channels', 'height', 'width'] };
    const free = await load([open], { file: path, count: 1 });
    expect(free.examples[0]?.['pixel_values']?.dims).toEqual([1, 3, 224, 224]);
  });

  it('are refused with the image if the model does not accept their size', async () => {
    const path = join(folder, 'config-of-another');
    mkdirSync(path, { recursive: true });
    copyFileSync(join(images, 'rgb.png'), join(path, 'a.png'));
    const model = join(folder, 'model');
    mkdirSync(model);
    writeFileSync(
      join(model, 'preprocessor_config.json'),
      JSON.stringify({
        image_processor_type: 'ViTImageProcessor',
        size: 9,
        resample: 2,
        do_normalize: false,
      }),
    );
    const failure = loadExamples({ file: path, count: 1, seed: 0 }, [pixels], model);
    await expect(failure).rejects.toFailWith({
      code: 'input-shape-mismatch',
      file: 'a.png',
      field: 'pixel_values',
    });
  });

  it('are its arrays, a file for each', async () => {
    const path = join(folder, 'arrays');
    file('arrays/a.npy', floatNpy([3], [1, 2, 3]));
    file('arrays/b.npy', floatNpy([1, 3], [4, 5, 6]));
    const { examples } = await load([x], { file: path });
    expect(examples.map((example) => values(example, 'x'))).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    file('arrays/c.npy', floatNpy([2, 3], [4, 5, 6, 7, 8, 9]));
    await expect(load([x], { file: path })).rejects.toFailWith({
      code: 'example-file-ambiguous',
      file: 'c.npy',
      field: 'x',
    });
  });

  it("are refused if they are of two kinds, of an unknown kind, or not the model's inputs", async () => {
    file('mixed/a.npy', floatNpy([3], [1, 2, 3]));
    file('mixed/a.png', Buffer.alloc(0));
    file('nothing/a.txt', Buffer.alloc(0));
    file('pictures-only/a.png', Buffer.alloc(0));
    await expect(load([x], { file: join(folder, 'mixed') })).rejects.toFailWith({
      code: 'input-files-mixed',
      file: 'mixed',
    });
    await expect(load([x], { file: join(folder, 'nothing') })).rejects.toFailWith({
      code: 'input-files-missing',
      file: 'nothing',
    });
    const only = join(folder, 'pictures-only');
    await expect(load([x], { file: only })).rejects.toFailWith({
      code: 'inputs-not-from-images',
      file: 'pictures-only',
    });
    await expect(load([pixels], { file: only })).rejects.toFailWith({
      code: 'image-format-unsupported',
      file: 'a.png',
    });
  });
});

describe('random examples', () => {
  it('are labelled as such, and the same for the same seed', async () => {
    const ports = [ids, mask, { ...x, name: 'features' }];
    const first = await load(ports, { count: 3, length: 5, bounds: { input_ids: 7 } });
    const again = await load(ports, { count: 3, length: 5, bounds: { input_ids: 7 } });
    const other = await load(ports, { count: 3, length: 5, bounds: { input_ids: 7 }, seed: 2 });
    expect(first).toEqual(again);
    expect(first.summary.fingerprint).not.toBe(other.summary.fingerprint);
    expect(first.summary).toMatchObject({
      source: 'random (seed 1)',
      sequences: 3,
      length: 5,
      tokens: 15,
    });
    expect(first.warnings.map(inEnglish)).toEqual([
      expect.stringMatching(
        /random numbers \(seed 1\): input_ids \[1, 5\], features \[1, 3\]\..*say little about real use/,
      ),
    ]);
    for (const example of first.examples) {
      expect(values(example, 'input_ids').every((id) => id >= 0 && id < 7)).toBe(true);
      expect(values(example, 'attention_mask')).toEqual([1, 1, 1, 1, 1]);
    }
  });

  it('are normally distributed, and ids spread below their bound', async () => {
    const wide: InputPort = { name: 'x', dtype: 'F32', shape: [1, 20_000] };
    const many: InputPort = { name: 'input_ids', dtype: 'I64', shape: [1, 20_000] };
    const { examples } = await load([wide, many], { count: 1 });
    const numbers = values(examples[0], 'x');
    const mean = numbers.reduce((sum, value) => sum + value, 0) / numbers.length;
    const variance = numbers.reduce((sum, value) => sum + value ** 2, 0) / numbers.length;
    expect(Math.abs(mean)).toBeLessThan(0.03);
    expect(Math.abs(variance - 1)).toBeLessThan(0.05);
    expect(numbers.filter((value) => Math.abs(value) > 1.96).length / 20_000).toBeCloseTo(0.05, 2);
    expect(new Set(values(examples[0], 'input_ids')).size).toBe(100);
  });

  const shapes: [string, InputPort, number[]][] = [
    ['an image', { ...pixels, shape: ['batch', 3, 'h', 'w'] }, [1, 3, 224, 224]],
    ['an image, channels last', { ...pixels, shape: ['batch', 'h', 'w', 3] }, [1, 224, 224, 3]],
    ['an image of unknown channels', { ...pixels, shape: ['?', '?', '?', '?'] }, [1, 3, 224, 224]],
    ['a text of unknown names', { ...ids, shape: ['s1', 's2'] }, [1, 32]],
    ['a time series', { ...x, shape: ['s1', 's2', 6] }, [1, 32, 6]],
    ['a size nobody knows', { ...x, shape: ['n', 'features'] }, [1, 8]],
    ['float16', { ...x, dtype: 'F16' }, [1, 3]],
    ['bytes', { ...x, dtype: 'U8' }, [1, 3]],
  ];
  it.each(shapes)('have a size for every axis: %s', async (_, port, dims) => {
    const { examples } = await load([port], { count: 1 });
    const value = examples[0]?.[port.name];
    expect(value?.dims).toEqual(dims);
    expect(value?.data.length).toBe(dims.reduce((product, size) => product * size, 1));
  });

  it('are refused for unknown shapes and dtypes, or if they exceed memory', async () => {
    await expect(load([{ ...x, shape: undefined }], {})).rejects.toFailWith({
      code: 'input-shape-unknown',
      file: expect.any(String),
      field: 'x',
    });
    await expect(load([{ ...x, dtype: 'STRING' }], {})).rejects.toFailWith({
      code: 'random-dtype-unsupported',
      file: expect.any(String),
      field: 'x',
    });
    await expect(load([{ ...x, shape: ['n', 2 ** 40] }], {})).rejects.toFailWith({
      code: 'random-examples-too-large',
      field: 'count',
    });
  });

  it('fit models of all shapes', async () => {
    const size = fc.oneof(
      fc.integer({ min: 1, max: 4 }),
      fc.constantFrom('batch', 'seq', 'n', '?'),
    );
    const port = fc.record({
      name: fc.constantFrom('a', 'b', 'input_ids', 'attention_mask', 'past_0', 'position_ids'),
      dtype: fc.constantFrom('F32', 'F16', 'I64', 'I32', 'BOOL', 'U8'),
      shape: fc.array(size, { maxLength: 3 }),
    });
    const ports = fc.uniqueArray(port, {
      minLength: 1,
      maxLength: 4,
      selector: ({ name }) => name,
    });
    await fc.assert(
      fc.asyncProperty(ports, fc.integer({ min: 1, max: 5 }), async (inputs, length) => {
        const loaded = await load(inputs, { count: 2, length }).catch((error: unknown) => error);
        if (loaded instanceof UserError) {
          // A fixed mask may be of another length than the rest.
          expect(loaded.message).toMatch(/, but the model expects/);
          return;
        }
        for (const example of (loaded as LoadedExamples).examples) {
          expect(Object.keys(example).sort()).toEqual(inputs.map(({ name }) => name).sort());
          for (const { name, dtype, shape } of inputs) {
            const value = example[name];
            expect(value?.dtype).toBe(dtype);
            expect(value?.dims.length).toBe(shape.length);
            shape.forEach((fixed, axis) => {
              expect(typeof fixed === 'string' || fixed === value?.dims[axis]).toBe(true);
            });
            expect(value?.data.length).toBe(value?.dims.reduce((a, b) => a * b, 1));
          }
        }
      }),
      { numRuns: randomRuns(300, 75) },
    );
  });
});
