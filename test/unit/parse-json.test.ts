import { describe, expect, it, vi } from 'vitest';
import { say } from '../../extension/core/message';
import { measureJson, parseJson } from '../../extension/core/parse-json';

const parse = (text: string): unknown => parseJson(text, 'a.json', say`Download it again.`);
const nested = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels);

describe('JSON of strangers', () => {
  it('is read up to 500 levels', () => {
    expect(JSON.stringify(parse(nested(500)))).toBe(nested(500));
    expect(parse('3')).toBe(3);
  });

  it.each([nested(501), `{"a": ${nested(50_000)}}`])('is refused deeper', (text) => {
    expect(() => parse(text)).toThrow(
      'a.json: The file has more than 500 levels of nesting. Download it again.',
    );
  });

  it.each([
    ['many levels', '['.repeat(90_000_000)],
    ['many lists', `[${'[],'.repeat(20_000_000)}[]]`],
    ['many numbers', `[${'0,'.repeat(40_000_000)}0]`],
    ['many fields', `{${'"":0,'.repeat(15_000_000)}"":0}`],
    ['one long string', `["${'a'.repeat(90_000_000)}"]`],
    ['many strings', `[${`"${'a'.repeat(1000)}",`.repeat(90_000)}0]`],
  ])('is refused with %s before it is decoded', (_, text) => {
    const decode = vi.spyOn(JSON, 'parse');
    expect(() => parse(text)).toThrow(
      /levels of nesting|more than the 256 MiB of memory|more than the 67108864 characters/,
    );
    expect(decode).not.toHaveBeenCalled();
    decode.mockRestore();
  });

  it('is not measured further than it can be parsed', () => {
    expect(measureJson(nested(90_000)).levels).toBe(501);
    expect(measureJson(`[${'[],'.repeat(20_000_000)}[]]`).bytes).toBeLessThan(2 ** 28 + 100);
  });

  it('is measured without its strings', () => {
    const tricky = String.raw`{"a\"[{,:": ["[\\", "\\\"", {"b": 1}]}`;
    expect(measureJson(tricky)).toMatchObject({ levels: 3, fields: 2 });
    expect(parse(tricky)).toEqual(JSON.parse(tricky));
    expect(measureJson('"never closed [[[')).toMatchObject({ levels: 0 });
  });

  it('names the file if it is not JSON', () => {
    expect(() => parse('{"a":')).toFailWith({
      ...{ code: 'json-malformed', file: 'a.json' },
      remedy: /Download it again\./,
    });
  });
});
