import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readGgufHeader } from '../../../extension/core/checkpoints/gguf';
import type { GgufHeader } from '../../../extension/core/checkpoints/gguf';
import { readGgufArray } from '../../../extension/core/checkpoints/gguf-values';
import type { GgufArray } from '../../../extension/core/checkpoints/gguf-values';
import { UserError } from '../../../extension/core/user-error';
import { temporaryFolder } from '../temporary-folder';
import { ggufBytes, listValue, numberValue, string, textValue, uint64 } from './gguf-file';
import type { RawTensor, RawValue } from './gguf-file';
import { flippedBits, randomRuns } from '../sample';

const path = join(temporaryFolder(), 'model.gguf');

/** Opens the bytes as a file; a refusal must be a UserError that names it. */
async function open(bytes: Uint8Array): Promise<GgufHeader | UserError> {
  writeFileSync(path, bytes);
  try {
    return await readGgufHeader(path);
  } catch (error) {
    if (error instanceof UserError) {
      expect(error.message).toContain(path);
      return error;
    }
    throw error;
  }
}

const metadata: readonly (readonly [string, RawValue])[] = [
  ['general.architecture', textValue('llama')],
  ['llama.block_count', numberValue(2)],
  ['tokens', listValue(8, 3, Buffer.concat(['a', 'ß', ''].map(string)))],
  ['scores', listValue(6, 2, Buffer.from(Float32Array.of(-1, 0.5).buffer))],
  ['yes', { type: 7, bytes: Buffer.of(1) }],
  ['big', { type: 10, bytes: uint64(1n << 60n) }],
];
const tensors: readonly RawTensor[] = [
  { name: 'a.weight', sizes: [3, 2], type: 0, offset: 0 },
  { name: 'b.weight', sizes: [64, 2], type: 8, offset: 32 },
];
const dataBytes = 32 + 136;
const small = ggufBytes(metadata, tensors, dataBytes);

describe('a GGUF header', () => {
  it('returns typed metadata, and tensors in numpy order with their offsets', async () => {
    const header = (await open(small)) as GgufHeader;
    expect(header.version).toBe(3);
    expect(Object.fromEntries(header.metadata)).toMatchObject({
      'general.architecture': 'llama',
      'llama.block_count': 2,
      yes: true,
      big: 1n << 60n,
    });
    const dataStart = small.length - dataBytes;
    expect(header.tensors).toEqual([
      {
        name: 'a.weight',
        dtype: 'F32',
        shape: [2, 3],
        file: header.file,
        offset: dataStart,
        length: 24,
      },
      {
        name: 'b.weight',
        dtype: 'Q8_0',
        shape: [2, 64],
        file: header.file,
        offset: dataStart + 32,
        length: 136,
      },
    ]);
    const list = async (key: string): Promise<unknown> =>
      readGgufArray(path, key, header.metadata.get(key) as GgufArray);
    expect(await list('tokens')).toEqual(['a', 'ß', '']);
    expect(await list('scores')).toEqual([-1, 0.5]);
  });

  it('of version 2 is read, others and the big-endian form are refused', async () => {
    expect(await open(ggufBytes(metadata, tensors, dataBytes, 2))).not.toBeInstanceOf(UserError);
    for (const [version, message] of [
      [1, { code: 'gguf-version-unsupported' as const, file: 'model.gguf' }],
      [4, { code: 'gguf-version-unsupported' as const, file: 'model.gguf' }],
      [0x03000000, { code: 'gguf-big-endian' as const, file: 'model.gguf' }],
    ] as const) {
      const refusal = await open(ggufBytes(metadata, tensors, dataBytes, version));
      expect(refusal as UserError).toFailWith(message);
    }
  });

  it('is refused when the file is cut at any byte, or anything is appended', async () => {
    for (let length = 0; length < small.length; length++) {
      expect(await open(small.subarray(0, length)), `${length} bytes`).toBeInstanceOf(UserError);
    }
    for (const more of [25, 4096]) {
      expect(await open(Buffer.concat([small, Buffer.alloc(more)]))).toBeInstanceOf(UserError);
    }
  });

  const [first, second] = tensors as [RawTensor, RawTensor];
  const huge = 2n ** 63n;
  it.each<[string, Buffer, RegExp]>([
    ['overlap', ggufBytes([], [first, { ...second, offset: 0 }], dataBytes), /overlaps/],
    [
      'hole',
      ggufBytes([], [first, { ...second, offset: 64 }], dataBytes + 32),
      /Its data starts at byte/,
    ],
    ['misaligned', ggufBytes([], [first, { ...second, offset: 33 }], dataBytes), /multiple of 32/],
    ['duplicate tensor', ggufBytes([], [first, { ...first, offset: 32 }], 56), /twice/],
    ['duplicate key', ggufBytes([...metadata, ['yes', textValue('')]], [], 0), /twice/],
    ['unknown type', ggufBytes([], [{ ...first, type: 4 }], 32), /type 4 is not supported/],
    ['ragged row', ggufBytes([], [{ ...second, sizes: [33], offset: 0 }], 64), /blocks of 32/],
    ['five sizes', ggufBytes([], [{ ...first, sizes: [1, 1, 1, 1, 1] }], 32), /dimensions/],
    ['no sizes', ggufBytes([], [{ ...first, sizes: [] }], 32), /dimensions/],
    ['huge size', ggufBytes([], [{ ...first, sizes: [huge] }], 32), /valid size/],
    ['huge product', ggufBytes([], [{ ...first, sizes: [2 ** 50, 2 ** 50] }], 32), /elements than/],
    ['huge list', ggufBytes([['x', listValue(4, 2 ** 52, Buffer.alloc(0))]], [], 64), /ends after/],
    ['list type', ggufBytes([['x', listValue(13, 1, Buffer.alloc(8))]], [], 0), /type 13/],
    ['value type', ggufBytes([['x', { type: 13, bytes: Buffer.alloc(8) }]], [], 0), /type 13/],
    ['boolean', ggufBytes([['x', { type: 7, bytes: Buffer.of(2) }]], [], 0), /neither true/],
    ['alignment', ggufBytes([['general.alignment', numberValue(24)]], [], 0), /power of two/],
    ['alignment 0', ggufBytes([['general.alignment', numberValue(0)]], [], 0), /power of two/],
    ['text', ggufBytes([['x', { type: 8, bytes: string(Buffer.of(0xff)) }]], [], 0), /not UTF-8/],
    [
      'nesting',
      ggufBytes(
        [
          [
            'x',
            Array.from({ length: 9 }).reduce<RawValue>(
              (inner) => listValue(9, 1, inner.bytes),
              listValue(4, 0, Buffer.alloc(0)),
            ),
          ],
        ],
        [],
        0,
      ),
      /nested/,
    ],
  ])('is refused with the reason: %s', async (_, bytes, message) => {
    const refusal = await open(bytes);
    expect(refusal).toBeInstanceOf(UserError);
    expect((refusal as UserError).message).toMatch(message);
  });

  it('refuses counts that no file has before reading on', async () => {
    const bytes = Buffer.from(small);
    bytes.writeBigUInt64LE(1n << 40n, 8);
    expect((await open(bytes)) as UserError).toMatchObject({
      message: expect.stringMatching(/more than the/) as string,
    });
  });

  it('with any bit flipped, or bytes changed, is refused or still describes the file', async () => {
    const check = (result: GgufHeader | UserError, bytes: Buffer): void => {
      if (!(result instanceof UserError)) {
        let end = 0;
        for (const { offset, length } of [...result.tensors].sort((a, b) => a.offset - b.offset)) {
          expect(offset).toBeGreaterThanOrEqual(end);
          end = offset + length;
        }
        expect(end).toBeLessThanOrEqual(bytes.length);
      }
    };
    const headerEnd = small.length - dataBytes;
    let refused = 0;
    for (const i of flippedBits(headerEnd)) {
      const bytes = Buffer.from(small);
      bytes.writeUInt8(bytes.readUInt8(i >> 3) ^ (1 << (i & 7)), i >> 3);
      const result = await open(bytes);
      refused += result instanceof UserError ? 1 : 0;
      check(result, bytes);
    }
    expect(refused).toBeGreaterThan(flippedBits(headerEnd).length / 4);
    const change = fc.record({
      at: fc.nat(headerEnd - 1),
      lost: fc.nat(8),
      added: fc.uint8Array({ maxLength: 9 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
        let bytes = Buffer.from(small);
        for (const { at, lost, added } of changes) {
          bytes = Buffer.concat([bytes.subarray(0, at), added, bytes.subarray(at + lost)]);
        }
        check(await open(bytes), bytes);
      }),
      { numRuns: randomRuns(1000, 250) },
    );
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (noise) => {
        const bytes = Buffer.concat([small.subarray(0, 8), noise]);
        check(await open(bytes), bytes);
      }),
      { numRuns: randomRuns(300, 75) },
    );
  });
});
