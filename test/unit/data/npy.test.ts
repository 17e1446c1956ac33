import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseNpy, readNpy } from '../../../extension/core/data/npy';
import { readNpz } from '../../../extension/core/data/npz';
import { writeNpz } from '../../../extension/core/data/write-npy';
import type { NumericArray } from '../../../extension/core/checkpoints/numeric-array';
import { UserError } from '../../../extension/core/user-error';
import type { Failure } from '../fail-with';
import { temporaryFolder } from '../temporary-folder';
import { floatNpy, npyBytes, npyHeader, zipBytes } from './npy-file';
import type { ZipEntry } from './npy-file';
import { randomRuns } from '../sample';

const folder = temporaryFolder();
const examples = join(import.meta.dirname, '../../fixtures/examples');

const dtypeNames: Readonly<Record<string, string>> = {
  f8: 'F64',
  f4: 'F32',
  f2: 'F16',
  i8: 'I64',
  i4: 'I32',
  i2: 'I16',
  i1: 'I8',
  u8: 'U64',
  u4: 'U32',
  u2: 'U16',
  u1: 'U8',
  b1: 'BOOL',
};

interface Expected {
  readonly dims: number[];
  readonly values: (number | string)[];
}

/** Values as the golden file lists them: whole numbers of 64 bits as text. */
const listed = ({ data }: NumericArray): (number | string)[] =>
  Array.from<number | bigint, number | string>(data, (value) =>
    typeof value === 'bigint' ? value.toString() : value,
  );

function file(name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

const parse = (bytes: Uint8Array): NumericArray => parseNpy(bytes, 'a.npy');

const unsupported = { code: 'npy-dtype-unsupported', file: 'a.npy', field: 'descr' } as const;

describe('arrays that numpy saved', () => {
  const golden = JSON.parse(readFileSync(join(examples, 'arrays.json'), 'utf8')) as Record<
    string,
    Expected
  >;

  it.each(['arrays.npz', 'compressed.npz'])('are read as numpy has them: %s', async (name) => {
    const arrays = await readNpz(join(examples, name));
    expect([...arrays.keys()]).toEqual(Object.keys(golden));
    for (const [key, { dims, values }] of Object.entries(golden)) {
      const array = arrays.get(key);
      if (array === undefined) {
        throw new Error(key);
      }
      expect(array.dims, key).toEqual(dims);
      expect(listed(array), key).toEqual(values);
      const dtype = dtypeNames[key.slice(0, 2)];
      if (dtype !== undefined) {
        expect(array.dtype).toBe(dtype);
      }
    }
  });

  it.each([1, 2, 3])('are read in format version %d', async (version) => {
    const array = await readNpy(join(examples, `version-${version}.npy`));
    expect(array).toMatchObject({ dtype: 'F32', dims: golden['f4']?.dims });
    expect(listed(array)).toEqual(golden['f4']?.values);
  });

  it('are read at any data offset', () => {
    const shape = fc.array(fc.nat(4), { maxLength: 4 });
    fc.assert(
      fc.property(shape, fc.boolean(), fc.nat(9), fc.nat(9), (dims, fortran, shift, spaces) => {
        const count = dims.reduce((product, size) => product * size, 1);
        const values = Float64Array.from({ length: count }, (_, i) => i + 0.5);
        const header = npyHeader('<f8', dims, fortran).replace('}', `${' '.repeat(spaces)}}`);
        const data = new Uint8Array(values.buffer);
        const length = Buffer.alloc(2);
        length.writeUInt16LE(header.length);
        const start = Buffer.from('\x93NUMPY\x01\x00', 'latin1');
        const bytes = Buffer.concat([
          Buffer.alloc(shift),
          start,
          length,
          Buffer.from(header),
          data,
        ]);
        const array = parse(bytes.subarray(shift));
        expect(array.dims).toEqual(dims);
        const strides = dims.map((_, axis) =>
          (fortran ? dims.slice(0, axis) : dims.slice(axis + 1)).reduce((a, b) => a * b, 1),
        );
        let position = 0;
        const check = (axis: number, from: number): void => {
          if (axis === dims.length) {
            expect(array.data[position++]).toBe(from + 0.5);
            return;
          }
          for (let i = 0; i < (dims[axis] ?? 0); i++) {
            check(axis + 1, from + i * (strides[axis] ?? 0));
          }
        };
        check(0, 0);
        expect(position).toBe(array.data.length);
      }),
    );
  });
});

describe('a .npy file', () => {
  const sound = floatNpy([2, 2], [1, 2, 3, 4]);
  const header = (text: string): Uint8Array => npyBytes(text, new Uint8Array(16));
  const faults: [string, Uint8Array, Failure][] = [
    [
      'of other bytes',
      Buffer.from('PK\x03\x04 and more of it'),
      { code: 'npy-signature-missing', file: 'a.npy' },
    ],
    [
      'of version 4',
      npyBytes(npyHeader('<f4', [4]), new Uint8Array(16), 4),
      { code: 'npy-version-unsupported', file: 'a.npy', field: 'version' },
    ],
    ['of big-endian numbers', header(npyHeader('>f4', [4])), unsupported],
    [
      'of objects',
      header(npyHeader('|O', [4])),
      { code: 'npy-objects-refused', file: 'a.npy', field: 'descr' },
    ],
    ['of complex numbers', header(npyHeader('<c8', [2])), unsupported],
    ['of a name every object has', header(npyHeader('toString', [2])), unsupported],
    [
      'of records',
      header("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (4,), }"),
      { code: 'npy-records-unsupported', file: 'a.npy', field: 'descr' },
    ],
    [
      'without a shape',
      header("{'descr': '<f4', 'fortran_order': False}"),
      { code: 'npy-shape-missing', file: 'a.npy', field: 'shape' },
    ],
    ['without a dtype', header("{'fortran_order': False, 'shape': (4,)}"), unsupported],
    [
      'without an order',
      header("{'descr': '<f4', 'shape': (4,)}"),
      { code: 'npy-order-invalid', file: 'a.npy', field: 'fortran_order' },
    ],
    [
      'with a field of its own',
      header("{'descr': '<f4', 'fortran_order': False, 'shape': (4,), 'x': True}"),
      { code: 'npy-field-unknown', file: 'a.npy', field: 'x' },
    ],
    [
      'with a field twice',
      header("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (4,)}"),
      { code: 'npy-field-duplicate', file: 'a.npy', field: 'descr' },
    ],
    [
      'with a number for a shape',
      header("{'descr': '<f4', 'fortran_order': False, 'shape': (4)}"),
      { code: 'npy-shape-invalid', file: 'a.npy', field: 'shape' },
    ],
    [
      'with a negative size',
      header("{'descr': '<f4', 'fortran_order': False, 'shape': (-4,)}"),
      { code: 'npy-header-undecodable', file: 'a.npy', field: 'header' },
    ],
    [
      'with too many axes',
      header(npyHeader('<f4', new Array<number>(65).fill(1))),
      { code: 'npy-shape-invalid', file: 'a.npy', field: 'shape' },
    ],
    [
      'of a size beyond numbers',
      header(npyHeader('<f4', [0, 2 ** 52, 2 ** 52])),
      { code: 'npy-size-mismatch', file: 'a.npy', field: 'shape' },
    ],
    [
      'larger than its shape',
      header(npyHeader('<f4', [3])),
      { code: 'npy-size-mismatch', file: 'a.npy', field: 'shape' },
    ],
    [
      'with truth values of 2',
      npyBytes(npyHeader('|b1', [1]), Uint8Array.of(2)),
      { code: 'npy-boolean-invalid', file: 'a.npy', field: 'data' },
    ],
    [
      'with a header of 60 KB',
      npyBytes(`{${' '.repeat(60_000)}}`, new Uint8Array(0)),
      { code: 'npy-header-too-long', file: 'a.npy' },
    ],
    [
      'with code for a header',
      header("__import__('os').system('true')"),
      { code: 'npy-header-invalid', file: 'a.npy', field: 'header' },
    ],
  ];

  it.each(faults)('is refused: %s', (_, bytes, message) => {
    expect(() => parse(bytes)).toFailWith(message);
  });

  it('is refused when cut at any byte, or longer', () => {
    for (let length = 0; length < sound.length; length++) {
      expect(() => parse(sound.subarray(0, length)), `${length}`).toThrow(UserError);
    }
    expect(() => parse(Buffer.concat([sound, Buffer.alloc(1)]))).toThrow(UserError);
  });

  it('with any bit flipped is refused, or has the size in its header', () => {
    let refused = 0;
    for (let i = 0; i < (sound.length - 16) * 8; i++) {
      const bytes = Buffer.from(sound);
      bytes.writeUInt8(bytes.readUInt8(i >> 3) ^ (1 << (i & 7)), i >> 3);
      try {
        expect(parse(bytes).data.byteLength).toBe(16);
      } catch (error) {
        expect(error).toBeInstanceOf(UserError);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan((sound.length - 16) * 4);
  });

  it('is named when it is missing', async () => {
    await expect(readNpy(join(folder, 'none.npy'))).rejects.toFailWith({
      code: 'file-missing',
      file: 'none.npy',
    });
  });
});

describe('a .npz file', () => {
  const array = floatNpy([2, 2], [1, 2, 3, 4]);
  const zeros = floatNpy([100_000], new Float32Array(100_000));
  const archive = (...entries: ZipEntry[]): Buffer => zipBytes(entries);
  const faults: [string, Uint8Array, Failure][] = [
    ['that is empty', new Uint8Array(0), { code: 'npz-unreadable', file: 'fault.npz' }],
    ['that is a .npy', array, { code: 'npz-unreadable', file: 'fault.npz' }],
    [
      'with a text in it',
      archive({ name: 'a.txt', data: array }),
      { code: 'npz-entry-unsupported', file: 'fault.npz', field: 'a.txt' },
    ],
    [
      'with a name twice',
      archive({ name: 'a.npy', data: array }, { name: 'a.npy', data: array }),
      { code: 'npz-name-duplicate', file: 'fault.npz', field: 'a.npy' },
    ],
    [
      'that is encrypted',
      archive({ name: 'a.npy', data: array, lie: { flags: 1 } }),
      { code: 'npz-unreadable', file: 'fault.npz' },
    ],
    [
      'with a wrong checksum',
      archive({ name: 'a.npy', data: array, lie: { crc: 1 } }),
      { code: 'npz-checksum-mismatch', file: 'fault.npz', field: 'a.npy' },
    ],
    [
      'whose sizes cannot be',
      archive({ name: 'a.npy', data: array, deflate: true, lie: { size: 0xf000_0000 } }),
      { code: 'npz-entry-too-large', file: 'fault.npz', field: 'a.npy' },
    ],
    [
      'that decompresses to more than it says',
      archive({ name: 'a.npy', data: zeros, deflate: true, lie: { size: 1000 } }),
      { code: 'npz-unreadable', file: 'fault.npz' },
    ],
    [
      'that unpacks to less than it says',
      archive({ name: 'a.npy', data: zeros, deflate: true, lie: { size: 401_000 } }),
      { code: 'npz-unreadable', file: 'fault.npz' },
    ],
    [
      'with a name that leads out',
      archive({ name: '../a.npy', data: array }),
      { code: 'npz-unreadable', file: 'fault.npz' },
    ],
    [
      'with a broken array',
      archive({ name: 'a.npy', data: array.subarray(0, 99) }),
      { code: 'header-truncated', file: 'fault.npz', field: 'a.npy' },
    ],
  ];

  it.each(faults)('is refused: %s', async (_, bytes, message) => {
    const result = readNpz(file('fault.npz', bytes));
    await expect(result).rejects.toFailWith(message);
  });

  it('is refused when it unpacks to more than may be held', async () => {
    const path = file('bomb.npz', archive({ name: 'a.npy', data: zeros, deflate: true }));
    await expect(readNpz(path, 300_000)).rejects.toFailWith({
      code: 'npz-too-large',
      file: 'bomb.npz',
      field: 'a.npy',
    });
  });

  it('is refused when cut at any byte, and never leads to another failure when damaged', async () => {
    const sound = archive(
      { name: 'a.npy', data: array, deflate: true },
      { name: 'b.npy', data: array },
    );
    expect([...(await readNpz(file('cut.npz', sound))).keys()]).toEqual(['a', 'b']);
    for (let length = 0; length < sound.length; length++) {
      const path = file('cut.npz', sound.subarray(0, length));
      await expect(readNpz(path), `${length}`).rejects.toBeInstanceOf(UserError);
    }
    const change = fc.tuple(fc.nat(sound.length - 1), fc.integer({ min: 1, max: 255 }));
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
        const bytes = Buffer.from(sound);
        for (const [at, by] of changes) {
          bytes.writeUInt8(bytes.readUInt8(at) ^ by, at);
        }
        const result = await readNpz(file('cut.npz', bytes)).catch((error: unknown) => error);
        if (!(result instanceof UserError)) {
          // Accepted data have the checksum of the input.
          for (const { data } of (result as Map<string, NumericArray>).values()) {
            expect([...data]).toEqual([1, 2, 3, 4]);
          }
        }
      }),
      { numRuns: randomRuns(300, 75) },
    );
  });

  it('fails to write with its path and the fix', async () => {
    const path = join(folder, 'none', 'a.npz');
    const numbers = { dtype: 'U8', dims: [1], data: Uint8Array.of(1) } as const;
    const error: unknown = await writeNpz(path, { a: numbers }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).subject.file).toBe(path);
    expect((error as UserError).subject.remedy).toBeDefined();
  });
});
