import { describe, expect, it } from 'vitest';
import { blockCodecs } from '../../../extension/core/checkpoints/quantize/block-codecs';
import type { BlockType } from '../../../extension/core/checkpoints/quantize/block-codecs';
import {
  joinBlocks,
  splitBlocks,
} from '../../../extension/core/checkpoints/quantize/block-numbers';
import { dequantize } from '../../../extension/core/checkpoints/quantize/dequantize';
import { quantizeRows } from '../../../extension/core/checkpoints/quantize/quantizers';
import { randomRows } from '../tensornet/matrices';

const types = Object.keys(blockCodecs) as BlockType[];
const length = 512;
const { numbers } = randomRows(6, length, 1);
// A block of zeros has no scale.
numbers.fill(0, length, 2 * length);

describe.each(types)('blocks of %s', (type) => {
  const bytes = quantizeRows(type, numbers, length);
  const decoded = new Float32Array(numbers.length);
  dequantize(type, bytes, decoded);

  const worst = (found: Float32Array): number =>
    found.reduce((most, x, i) => Math.max(most, Math.abs(x - (decoded[i] ?? 0))), 0);

  it('are the weights that llama.cpp decodes', () => {
    const parts = splitBlocks(type, bytes);
    const [blocks, groups, width] = parts.shape;
    expect(blocks * groups * width).toBe(numbers.length);
    const weights = parts.codes.map((code, i) => {
      const [group, block] = [Math.floor(i / width), Math.floor(i / width / groups)];
      const scale = Math.fround((parts.units[block] ?? 0) * (parts.scales?.[group] ?? 1));
      const offset = (parts.offsetUnits?.[block] ?? 0) * (parts.offsets?.[group] ?? 1);
      return Math.fround(scale * code) + Math.fround(offset);
    });
    expect(worst(weights)).toBe(0);
  });

  it('are written unchanged', () => {
    const again = new Float32Array(numbers.length);
    dequantize(type, joinBlocks(splitBlocks(type, bytes)), again);
    expect(worst(again)).toBe(0);
  });
});
