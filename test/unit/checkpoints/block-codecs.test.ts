import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseGgmlBlock } from '../../../extension/core/checkpoints/ggml-types';
import { blockCodecs } from '../../../extension/core/checkpoints/quantize/block-codecs';
import type {
  BlockType,
  GroupGrid,
} from '../../../extension/core/checkpoints/quantize/block-codecs';
import { blockDecoders } from '../../../extension/core/checkpoints/quantize/block-decoders';
import { quantizeRows } from '../../../extension/core/checkpoints/quantize/quantizers';
import { numbers } from '../../../extension/core/checkpoints/quantize/search';
import { randomRows } from '../tensornet/matrices';

const types = Object.keys(blockCodecs) as BlockType[];
const newGrid = (): GroupGrid => ({ scale: 0, offset: 0, scaleCode: 0, offsetCode: 0 });

function decoded(type: BlockType, block: Uint8Array): Float64Array {
  const out = new Float64Array(parseGgmlBlock(type).elements);
  blockDecoders[type](Buffer.from(block), 0, out, 0);
  return out;
}

describe.each(types)('the codec of %s', (type) => {
  const codec = blockCodecs[type];
  const { elements } = parseGgmlBlock(type);
  const groups = elements / codec.width;

  it('stores scales and codes that decode to scale · q + offset', () => {
    fc.assert(
      fc.property(
        fc.nat(1000),
        fc.array(fc.nat(codec.trials.length - 1), { minLength: groups, maxLength: groups }),
        fc.array(fc.nat(codec.range[1] - codec.range[0]), {
          minLength: elements,
          maxLength: elements,
        }),
        (seed, trials, codes) => {
          const block = quantizeRows(type, randomRows(1, elements, seed).numbers, elements);
          const view = new DataView(block.buffer);
          const grids = trials.map((trial, group) => {
            const grid = newGrid();
            codec.tryGrid(view, 0, group, codec.trials[trial] ?? { factor: 1, shift: 0 }, grid);
            return grid;
          });
          grids.forEach((grid, group) => {
            codec.storeGrid(view, 0, group, grid);
          });
          numbers.set(codes);
          codec.storeCodes(view, 0);
          const expected = codes.map((code, i) => {
            const { scale, offset } = grids[Math.floor(i / codec.width)] ?? newGrid();
            const q = codec.book?.[code] ?? code + codec.range[0];
            return Math.fround(Math.fround(scale * q) + offset) + 0;
          });
          // Adding 0 makes 0 of −0.
          expect(Array.from(decoded(type, block), (x) => x + 0)).toEqual(expected);
        },
      ),
      { numRuns: 30 },
    );
  });

  it('changes nothing by its first trial', () => {
    const block = quantizeRows(type, randomRows(1, elements, 7).numbers, elements);
    const before = block.slice();
    const view = new DataView(block.buffer);
    for (let group = 0; group < groups; group++) {
      const grid = newGrid();
      codec.tryGrid(view, 0, group, codec.trials[0] ?? { factor: 0, shift: 0 }, grid);
      codec.storeGrid(view, 0, group, grid);
    }
    expect(block).toEqual(before);
  });
});
