import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { quantizeRows, rowBytes } from '../../../extension/core/checkpoints/quantize/quantizers';
import { ggufFixture } from '../gguf-fixtures';

/** As make_ggml_fixtures.py writes them. */
const [rows, row] = [8, 512];
const types = [
  ...(['Q8_0', 'Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q2_K', 'Q3_K', 'Q4_K', 'Q5_K', 'Q6_K'] as const),
  ...(['IQ4_NL', 'IQ4_XS'] as const),
];

describe('numbers written as a type of ggml', () => {
  const bytes = Uint8Array.from(readFileSync(ggufFixture('quantized.bin')));
  const numbers = new Float32Array(bytes.buffer, 0, rows * row);
  const importance = new Float32Array(bytes.buffer, 4 * rows * row, row);
  let at = 4 * (rows + 1) * row;
  const cases = types.flatMap((type) =>
    [undefined, importance].map((given) => {
      const length = rows * rowBytes(type, row);
      at += length;
      const how = given === undefined ? 'alone' : 'by importance';
      return [type, how, given, bytes.slice(at - length, at)] as const;
    }),
  );

  it.each(cases)('%s, %s: the bytes that llama.cpp writes', (type, _, given, expected) => {
    const actual = quantizeRows(type, numbers, row, given);
    const wrong = Array.from({ length: rows }, (__, i) => i).filter((i) => {
      const part = (all: Uint8Array): Buffer =>
        Buffer.from(all.subarray(i * rowBytes(type, row), (i + 1) * rowBytes(type, row)));
      return !part(actual).equals(part(expected));
    });
    expect(wrong).toEqual([]);
  });

  it.each(['Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'IQ4_NL'] as const)(
    '%s of a row that is no whole number of searches has the groups of rows of 32',
    (type) => {
      // Whole numbers in several orders: the mean of squares that all weights depend on is the same in every row.
      const [width, groups] = [32, 9];
      const long = Float32Array.from({ length: width * groups }, (_, i) => {
        const rotated = (i + 5 * Math.floor(i / width)) % width;
        return ((7 * rotated) % width) - 15;
      });
      const weights = Float32Array.from(long, (_, i) => 1 + ((3 * i) % 11));
      for (const given of [undefined, weights]) {
        const pieces = Array.from({ length: groups }, (_, group) => {
          const [from, to] = [width * group, width * (group + 1)];
          return quantizeRows(type, long.subarray(from, to), width, given?.subarray(from, to));
        });
        const whole = quantizeRows(type, long, long.length, given);
        expect(Buffer.from(whole).equals(Buffer.concat(pieces))).toBe(true);
      }
    },
  );

  it('no byte of the fixture is left over', () => {
    expect(at).toBe(bytes.length);
  });
});
