import { describe, expect, it } from 'vitest';
import {
  exampleContent,
  searchableText,
} from '../../../../extension/core/data/datasets/example-content';
import { numericDataset, textDataset } from '../../../../extension/core/data/datasets/dataset';

const parts = {
  name: 'set',
  file: 'set',
  classNames: ['a'],
  labels: Int32Array.of(0),
  write: async () => Promise.resolve([]),
};

function shown(shape: readonly number[], values: readonly number[]) {
  const data = Float32Array.from(values);
  const dataset = numericDataset(parts, { dtype: 'F32', dims: [1, ...shape], data });
  const content = exampleContent(dataset, 0);
  return content.kind === 'picture'
    ? { ...content, pixels: [...Buffer.from(content.pixels, 'base64')] }
    : content;
}

describe('preview of an example', () => {
  it('is a gray picture of two axes, or of one channel', () => {
    const picture = { kind: 'picture', width: 2, height: 1, pixels: [0, 0, 0, 255, 255, 255] };
    expect(shown([1, 1, 2], [0, 1])).toEqual(picture);
    expect(shown([2, 2], [0, 1, 1, 0])).toMatchObject({ kind: 'picture', width: 2, height: 2 });
  });

  it('has its channels first or last', () => {
    const first = [1, 0, 0, 1, 0, 0];
    const pixels = [255, 0, 0, 0, 255, 0];
    expect(shown([3, 1, 2], first)).toEqual({ kind: 'picture', width: 2, height: 1, pixels });
    const last = [1, 0, 0, 0, 1, 0];
    expect(shown([1, 2, 3], last)).toMatchObject({ width: 3, height: 2 });
    expect(shown([2, 1, 3], [...last])).toEqual({ kind: 'picture', width: 1, height: 2, pixels });
  });

  it('is scaled from its own range if that is not 0 to 1', () => {
    expect(shown([1, 1, 3], [-2, 0, 2])).toMatchObject({
      pixels: [0, 0, 0, 128, 128, 128, 255, 255, 255],
    });
  });

  it('is averaged if it is large', () => {
    const size = 200;
    const values = Array.from({ length: size * size }, (_, i) => ((i % size) % 3 === 0 ? 1 : 0));
    const large = shown([1, size, size], values);
    expect(large).toMatchObject({ kind: 'picture', width: 67, height: 67 });
    expect(large.kind === 'picture' && large.pixels.slice(0, 6)).toEqual(Array(6).fill(85));
  });

  it('is the beginning of a text, or of a row of numbers', () => {
    const text = 'word '.repeat(200);
    expect(exampleContent(textDataset(parts, [text]), 0)).toEqual({
      kind: 'text',
      text: text.slice(0, 600),
      length: 1000,
      isWhole: false,
    });
    const tricky = 'a\u202eb\r\n\tc\u0007 \u{1f469}\u200d\u{1f469}';
    expect(exampleContent(textDataset(parts, [tricky]), 0)).toMatchObject({
      text: 'a\\u{202e}b\n\tc\\u{7} \u{1f469}\u200d\u{1f469}',
      isWhole: true,
    });
    const columns = numericDataset(
      { ...parts, columns: ['age', 'height'] },
      { dtype: 'F32', dims: [1, 2], data: Float32Array.of(39, 1.75) },
    );
    expect(exampleContent(columns, 0)).toMatchObject({
      ...{ kind: 'numbers', columns: ['age', 'height'], values: [39, 1.75] },
    });
    expect(searchableText(columns, 0)).toContain('age=39\nheight=1.75');
    const numbers = shown(
      [20],
      Array.from({ length: 20 }, (_, i) => i),
    );
    expect(numbers).toMatchObject({ kind: 'numbers', count: 20 });
    expect(numbers.kind === 'numbers' && numbers.values).toHaveLength(12);
  });
});
