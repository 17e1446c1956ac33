import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dtypeBits } from '../../../extension/core/checkpoints/lazy-tensor';
import type { Checkpoint, SafetensorsDType } from '../../../extension/core/checkpoints/lazy-tensor';
import { openSafetensors } from '../../../extension/core/checkpoints/safetensors';
import { UserError } from '../../../extension/core/user-error';
import { temporaryFolder } from '../temporary-folder';
import { safetensorsBytes } from './safetensors-file';
import { flippedBits, randomRuns } from '../sample';

const path = join(temporaryFolder(), 'model.safetensors');

/** Opens the bytes as a file; a refusal must be a UserError that names it. */
async function open(bytes: Uint8Array): Promise<Checkpoint | UserError> {
  writeFileSync(path, bytes);
  try {
    return await openSafetensors(path);
  } catch (error) {
    if (error instanceof UserError) {
      expect(error.message).toContain(path);
      return error;
    }
    throw error;
  }
}

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly number[];
}

const isList = (value: unknown): boolean => Array.isArray(value);

/** Independent implementation of the format's documented rules. */
function isValid(bytes: Buffer): boolean {
  const length = bytes.readBigUInt64LE();
  if (length > BigInt(bytes.length - 8)) {
    return false;
  }
  const json = bytes.subarray(8, 8 + Number(length));
  let header: Record<string, Entry>;
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(json);
    header = JSON.parse(text) as Record<string, Entry>;
    // Apart from spaces between tokens, only a repeated name changes the length.
    const compact = text.replaceAll(/("(?:\\.|[^"\\])*")|[ \t\n\r]+/g, '$1');
    if (JSON.stringify(header).length !== compact.length) {
      return false;
    }
  } catch {
    return false;
  }
  const { __metadata__: metadata, ...entries } = header;
  if (metadata !== undefined && Object.values(metadata).some((text) => typeof text !== 'string')) {
    return false;
  }
  const claimed = new Array<number>(bytes.length - 8 - json.length).fill(0);
  for (const { dtype, shape, data_offsets: offsets } of Object.values(entries)) {
    const bits = Object.entries(dtypeBits).find(([name]) => name === dtype)?.[1];
    if (bits === undefined || !isList(shape) || !isList(offsets)) {
      return false;
    }
    const [begin = -1, end = -1] = offsets;
    const whole = [...shape, ...offsets].every((size) => Number.isInteger(size) && size >= 0);
    const elements = shape.reduce((product, size) => product * size, 1);
    if (
      !whole ||
      offsets.length !== 2 ||
      (elements * bits) / 8 !== end - begin ||
      end > claimed.length
    ) {
      return false;
    }
    for (let i = begin; i < end; i++) {
      claimed[i] = (claimed[i] ?? 0) + 1;
    }
  }
  return claimed.every((count) => count === 1);
}

/** A file that is accepted must be one that may be, and every tensor must lie inside it. */
function checkAccepted(checkpoint: Checkpoint, bytes: Buffer): void {
  expect(isValid(bytes)).toBe(true);
  for (const { dtype, shape, offset, length } of checkpoint.tensors.values()) {
    const elements = shape.reduce((product, size) => product * size, 1);
    expect(length).toBe((elements * dtypeBits[dtype as SafetensorsDType]) / 8);
    expect(offset + length).toBeLessThanOrEqual(bytes.length);
  }
}

const small = safetensorsBytes(
  {
    __metadata__: { format: 'pt' },
    'model.norm.weight': { dtype: 'BF16', shape: [4], data_offsets: [24, 32] },
    'model.embed.weight': { dtype: 'F32', shape: [2, 3], data_offsets: [0, 24] },
  },
  32,
);
const headerEnd = small.length - 32;

describe('a small safetensors file', () => {
  it('opens unchanged', async () => {
    expect(isValid(small)).toBe(true);
    expect(await open(small)).toMatchObject({ entry: path });
  });

  it('is refused when cut at any byte', async () => {
    for (let length = 0; length < small.length; length++) {
      expect(await open(small.subarray(0, length)), `${length} bytes`).toBeInstanceOf(UserError);
    }
  });

  it('is refused when anything is appended', async () => {
    for (const more of [1, 8, 4096]) {
      expect(await open(Buffer.concat([small, Buffer.alloc(more)]))).toBeInstanceOf(UserError);
    }
  });

  it('with any bit of the header flipped is refused, or is another valid file', async () => {
    let refused = 0;
    for (const i of flippedBits(headerEnd)) {
      const bytes = Buffer.from(small);
      bytes.writeUInt8(bytes.readUInt8(i >> 3) ^ (1 << (i & 7)), i >> 3);
      const result = await open(bytes);
      if (result instanceof UserError) {
        refused++;
      } else {
        checkAccepted(result, bytes);
      }
    }
    expect(refused).toBeGreaterThan(flippedBits(headerEnd).length / 2);
  });

  it('with bytes of the header overwritten, moved or lost is refused, or is another valid file', async () => {
    const position = fc.nat(headerEnd - 1);
    const change = fc.oneof(
      fc.record({
        kind: fc.constant('write'),
        at: position,
        with: fc.uint8Array({ minLength: 1, maxLength: 9 }),
      }),
      fc.record({
        kind: fc.constant('insert'),
        at: position,
        with: fc.uint8Array({ minLength: 1, maxLength: 9 }),
      }),
      fc.record({
        kind: fc.constant('insert'),
        at: position,
        with: fc
          .constantFrom('{', '}', '[', ']', '"', ',', ':', '0', '-', 'e9', '\\', '\u0000')
          .map((text) => Uint8Array.from(Buffer.from(text))),
      }),
      fc.record({
        kind: fc.constant('delete'),
        at: position,
        with: fc.uint8Array({ minLength: 1, maxLength: 9 }),
      }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
        let bytes = Buffer.from(small);
        for (const { kind, at, with: piece } of changes) {
          const skipped = kind === 'insert' ? 0 : piece.length;
          const middle = kind === 'delete' ? Buffer.alloc(0) : piece;
          bytes = Buffer.concat([bytes.subarray(0, at), middle, bytes.subarray(at + skipped)]);
        }
        const result = await open(bytes);
        if (!(result instanceof UserError)) {
          checkAccepted(result, bytes);
        }
      }),
      { numRuns: randomRuns(2000, 500) },
    );
  });

  it('with a space between two tokens is another valid file', async () => {
    const at = small.indexOf(':{"dtype"');
    const bytes = Buffer.concat([small.subarray(0, at), Buffer.from(' '), small.subarray(at)]);
    bytes.writeBigUInt64LE(bytes.readBigUInt64LE() + 1n);
    expect(isValid(bytes)).toBe(true);
    expect(await open(bytes)).toMatchObject({ entry: path });
  });

  it('that is only noise is refused', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (noise) => {
        const result = await open(noise);
        if (!(result instanceof UserError)) {
          checkAccepted(result, Buffer.from(noise));
        }
      }),
      { numRuns: randomRuns(500, 125) },
    );
  });
});

describe('a safetensors header of any tensors', () => {
  const dtype = fc.constantFrom(...(Object.keys(dtypeBits) as SafetensorsDType[]));
  const tensors = fc.uniqueArray(
    fc.record({
      name: fc
        .string({ unit: 'grapheme', maxLength: 12 })
        .filter((name) => name !== '__metadata__'),
      dtype,
      shape: fc.array(fc.nat(5), { maxLength: 3 }).map((shape) => [...shape, 4]),
    }),
    { selector: ({ name }) => name, maxLength: 8 },
  );

  it('is read after writing, and refused if one number of it is changed', async () => {
    await fc.assert(
      fc.asyncProperty(tensors, fc.nat(), fc.constantFrom(-1, 1), async (list, which, step) => {
        let end = 0;
        const entries = list.map(({ name, dtype: type, shape }): [string, Entry] => {
          const begin = end;
          end += (shape.reduce((product, size) => product * size, 1) * dtypeBits[type]) / 8;
          return [name, { dtype: type, shape, data_offsets: [begin, end] }];
        });
        const text = (): string =>
          `{${entries.map(([name, entry]) => `${JSON.stringify(name)}:${JSON.stringify(entry)}`).join()}}`;
        const whole = await open(safetensorsBytes(text(), end));
        expect(whole).not.toBeInstanceOf(UserError);
        const { tensors: found } = whole as Checkpoint;
        expect([...found.keys()].sort()).toEqual(list.map(({ name }) => name).sort());
        for (const { name, dtype: type, shape } of list) {
          expect(found.get(name)).toMatchObject({ dtype: type, shape });
        }

        const chosen = entries[which % Math.max(1, entries.length)];
        if (chosen === undefined) {
          return;
        }
        const [begin = 0, last = 0] = chosen[1].data_offsets;
        chosen[1] = {
          ...chosen[1],
          data_offsets: which % 2 === 0 ? [begin + step, last] : [begin, last + step],
        };
        expect(await open(safetensorsBytes(text(), end))).toBeInstanceOf(UserError);
      }),
      { numRuns: randomRuns(300, 75) },
    );
  });
});
