import { describe, expect, it } from 'vitest';
import { say } from '../../extension/core/message';
import { parseJson } from '../../extension/core/parse-json';

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

  it('names the file where it is none', () => {
    expect(() => parse('{"a":')).toThrow(/a\.json: The file is not JSON: .*Download it again\./);
  });
});
