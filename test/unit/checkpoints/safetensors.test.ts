import { execFileSync } from 'node:child_process';
import { mkdirSync, realpathSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { dtypeBits } from '../../../extension/core/checkpoints/lazy-tensor';
import { openSafetensors } from '../../../extension/core/checkpoints/safetensors';
import { UserError } from '../../../extension/core/user-error';
import { temporaryFolder } from '../temporary-folder';
import { safetensorsBytes, writeSafetensorsFile } from './safetensors-file';
import { inEnglish } from '../../../extension/core/message';

const folder = temporaryFolder();
let files = 0;

function write(header: unknown, dataBytes: number): string {
  return writeSafetensorsFile(join(folder, `${files++}.safetensors`), header, dataBytes);
}

/** The refusal of a file, checked to name it. */
async function refusal(path: string): Promise<UserError> {
  const error: unknown = await openSafetensors(path).then(
    () => new Error('the file was accepted'),
    (failure: unknown) => failure,
  );
  expect(error).toBeInstanceOf(UserError);
  expect((error as UserError).subject.file).toBe(path);
  return error as UserError;
}

const f32 = (begin: number, count: number): object => ({
  dtype: 'F32',
  shape: [count],
  data_offsets: [begin, begin + 4 * count],
});

describe('a safetensors file', () => {
  it('is listed with the places of its tensors, in any order of the header', async () => {
    const header = {
      second: { dtype: 'BF16', shape: [2, 3], data_offsets: [8, 20] },
      __metadata__: { format: 'pt' },
      first: f32(0, 2),
    };
    const path = write(header, 20);
    const { tensors, metadata, files: weights, entry } = await openSafetensors(path);
    const start = 8 + JSON.stringify(header).length;
    expect(metadata).toEqual({ format: 'pt' });
    expect(entry).toBe(path);
    expect(weights).toEqual([realpathSync(path)]);
    expect(tensors.get('first')).toEqual({
      name: 'first',
      dtype: 'F32',
      shape: [2],
      file: realpathSync(path),
      offset: start,
      length: 8,
    });
    expect(tensors.get('second')).toMatchObject({ shape: [2, 3], offset: start + 8, length: 12 });
  });

  it.each(Object.entries(dtypeBits))('may contain %s', async (dtype, bits) => {
    const path = write({ t: { dtype, shape: [2, 4], data_offsets: [0, bits] } }, bits);
    expect((await openSafetensors(path)).tensors.get('t')?.length).toBe(bits);
  });

  it('may contain scalars, empty tensors, padding, and names with a meaning in JavaScript', async () => {
    const header = JSON.stringify({
      empty: { dtype: 'I64', shape: [0, 5], data_offsets: [4, 4] },
      scalar: { dtype: 'F32', shape: [], data_offsets: [0, 4] },
      constructor: { dtype: 'F32', shape: [0], data_offsets: [0, 0] },
    }).replace('"scalar"', '"__proto__"');
    const { tensors } = await openSafetensors(write(`${header}   `, 4));
    expect([...tensors.keys()].sort()).toEqual(['__proto__', 'constructor', 'empty']);
    expect((await openSafetensors(write('{}', 0))).tensors.size).toBe(0);
  });

  it('is opened through links, and its tensors name the file itself', async () => {
    const target = write({ t: f32(0, 1) }, 4);
    const link = join(folder, 'link.safetensors');
    symlinkSync(target, link);
    const { tensors, entry } = await openSafetensors(link);
    expect(entry).toBe(link);
    expect(tensors.get('t')?.file).toBe(realpathSync(target));
  });

  it('of any size needs only the memory of its header', async () => {
    const bytes = 2 ** 33;
    const path = write({ t: { dtype: 'U8', shape: [bytes], data_offsets: [0, bytes] } }, 0);
    truncateSync(
      path,
      safetensorsBytes({ t: { dtype: 'U8', shape: [bytes], data_offsets: [0, bytes] } }, 0).length +
        bytes,
    );
    const before = process.memoryUsage();
    expect((await openSafetensors(path)).tensors.get('t')?.length).toBe(bytes);
    const after = process.memoryUsage();
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(1e6);
    expect(after.rss - before.rss).toBeLessThan(1e8);
  });
});

describe('a damaged safetensors file is refused', () => {
  const entry = (changes: object): object => ({ t: { ...f32(0, 2), ...changes } });
  const cases: [string, unknown, number, RegExp][] = [
    ['overlapping tensors', { a: f32(0, 2), b: f32(4, 2) }, 12, /: b: Its data overlaps/],
    ['one tensor inside another', { a: f32(0, 4), b: f32(4, 1) }, 16, /: b: Its data overlaps/],
    ['the same place twice', { a: f32(0, 2), b: f32(0, 2) }, 8, /: b: Its data overlaps/],
    ['a hole in front', { a: f32(4, 1) }, 8, /: a: Its data starts at byte/],
    ['a hole between', { a: f32(0, 1), b: f32(8, 1) }, 12, /: b: Its data starts at byte/],
    [
      'data missing',
      { a: f32(0, 2) },
      7,
      /truncated: its header declares \d+ bytes, but it has \d+/,
    ],
    ['data to spare', { a: f32(0, 2) }, 9, /1 bytes that belong to no tensor/],
    ['no tensor for the data', {}, 1, /1 bytes that belong to no tensor/],
    ["a size that is not the shape's", entry({ shape: [3] }), 8, /: t: .*takes 12 bytes, .*span 8/],
    ["a dtype that is not the size's", entry({ dtype: 'F16' }), 8, /takes 4 bytes/],
    [
      'half a byte',
      entry({ dtype: 'F4', shape: [3], data_offsets: [0, 2] }),
      2,
      /takes 1\.5 bytes/,
    ],
    ['an unknown dtype', entry({ dtype: 'F33' }), 8, /Unknown dtype "F33"; supported are .*F32/],
    ['a dtype from the prototype', entry({ dtype: 'toString' }), 8, /Unknown dtype/],
    ['no dtype', { t: { shape: [2], data_offsets: [0, 8] } }, 8, /Unknown dtype undefined/],
    ['a shape of text', entry({ shape: '2' }), 8, /shape "2" is not a list/],
    ['a negative size', entry({ shape: [-2] }), 8, /shape \[-2\]/],
    ['a broken size', entry({ shape: [2.5] }), 8, /shape \[2\.5\]/],
    ['a null size', entry({ shape: [null] }), 8, /shape \[null\]/],
    ['sizes without end', entry({ shape: [2 ** 40, 2 ** 40] }), 8, /more elements than any file/],
    [
      'sizes whose product is lost',
      entry({
        shape: Array(99)
          .fill(2 ** 30)
          .concat(0),
      }),
      8,
      /: t: /,
    ],
    ['no offsets', entry({ data_offsets: undefined }), 8, /data_offsets undefined/],
    ['one offset', entry({ data_offsets: [0] }), 8, /data_offsets \[0\]/],
    ['three offsets', entry({ data_offsets: [0, 8, 8] }), 8, /data_offsets \[0,8,8\]/],
    ['negative offsets', entry({ data_offsets: [-8, 0] }), 8, /data_offsets \[-8,0\]/],
    ['offsets backwards', entry({ data_offsets: [8, 0] }), 8, /span -8/],
    ['huge offsets', entry({ data_offsets: [2 ** 52, 2 ** 52 + 8] }), 8, /Its data starts at byte/],
    [
      'offsets beyond exactness',
      '{"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1e300]}}',
      1,
      /data_offsets/,
    ],
    ['an entry that is a list', { t: [] }, 0, /: t: The header entry is not an object/],
    ['an entry that is null', { t: null }, 0, /: t: The header entry is not an object/],
    ['metadata that is no text', { __metadata__: { a: 1 } }, 0, /__metadata__: It must map/],
    ['metadata that is a list', { __metadata__: ['a'] }, 0, /__metadata__: It must map/],
    ['metadata that is null', { __metadata__: null }, 0, /__metadata__: It must map/],
    ['a list', [], 0, /header/i],
    ['null', null, 0, /header/i],
    ['no header', '', 0, /header/i],
    ['half a header', '{"t":{"dtype":', 0, /not JSON/],
    ['text after the header', '{} {}', 0, /not JSON/],
    ['a byte order mark', '\uFEFF{}', 0, /header/i],
    ['a header of spaces', '    ', 0, /header/i],
  ];
  it.each(cases)('for %s', async (_, header, dataBytes, message) => {
    expect((await refusal(write(header, dataBytes))).message).toMatch(message);
  });

  it.each([
    ['tensor', '{"a":E,"a":E}', 'a'],
    ['tensor, written differently', '{"a":E,"\\u0061":E}', 'a'],
    ['metadata', '{"__metadata__":{"k":"1","k":"2"},"a":E}', 'k'],
    ['metadata block', '{"__metadata__":{},"a":E,"__metadata__":{}}', '__metadata__'],
    ['field', '{"a":{"dtype":"F32","dtype":"I32","shape":[1],"data_offsets":[0,4]}}', 'dtype'],
  ])('for a %s named twice', async (_, text, name) => {
    const header = text.replaceAll('E', JSON.stringify(f32(0, 1)));
    const error = await refusal(write(header, 4));
    expect(inEnglish(error.problem)).toMatch(/twice/);
    expect(error.subject.field).toBe(name);
  });

  it('for a header nested without end', async () => {
    const deep = '['.repeat(200_000) + ']'.repeat(200_000);
    await refusal(write(deep, 0));
    await refusal(write(`{"a":${deep}}`, 0));
    await refusal(
      write(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":${deep}}}`, 4),
    );
  });

  it('for a header that is not UTF-8', async () => {
    const path = write({ a: f32(0, 1) }, 4);
    const bytes = safetensorsBytes({ a: f32(0, 1) }, 4);
    bytes[10] = 0xff;
    writeFileSync(path, bytes);
    expect(inEnglish((await refusal(path)).problem)).toMatch(/not UTF-8/);
  });

  it.each([2n ** 64n - 1n, 2n ** 63n, 2n ** 53n, 2n ** 40n, 100_000_001n])(
    'for a header of %d bytes, without making room for it',
    async (size) => {
      const bytes = safetensorsBytes({ a: f32(0, 1) }, 4);
      bytes.writeBigUInt64LE(size);
      const path = join(folder, 'huge.safetensors');
      writeFileSync(path, bytes);
      const before = process.memoryUsage().arrayBuffers;
      expect(inEnglish((await refusal(path)).problem)).toMatch(/header is declared as \d+ bytes/);
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1e6);
    },
  );

  it('when it is missing, or is not a file', async () => {
    await refusal(join(folder, 'nowhere.safetensors'));
    const place = join(folder, 'folder.safetensors');
    mkdirSync(place);
    await refusal(place);
    const dangling = join(folder, 'dangling.safetensors');
    symlinkSync(join(folder, 'gone'), dangling);
    await refusal(dangling);
    const loop = join(folder, 'loop.safetensors');
    symlinkSync(loop, loop);
    await refusal(loop);
  });

  it.skipIf(process.platform === 'win32')('when it is a pipe, without waiting', async () => {
    const pipe = join(folder, 'pipe.safetensors');
    execFileSync('mkfifo', [pipe]);
    await refusal(pipe);
  });
});
