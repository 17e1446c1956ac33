import { parseGgmlBlock } from '../ggml-types';
import { halfToNumber, numberToHalf } from '../half';
import { blockCodecs } from './block-codecs';
import type { BlockType, GroupGrid } from './block-codecs';
import { dequantize } from './dequantize';
import { numbers as codesOfBlock } from './search';

const { max, min, round } = Math;

/**
 * The numbers stored in quantization blocks, in separate arrays. A weight is
 * unit · scale · code + offsetUnit · offset, where scale and offset are 1 for types without integers for them.
 */
export interface BlockNumbers {
  readonly type: BlockType;
  /** Number of blocks, of groups of a block, and of weights of a group. */
  readonly shape: readonly [blocks: number, groups: number, width: number];
  /** Integers, or values of the code book. */
  readonly codes: Float32Array;
  /** One per block. */
  readonly units: Float32Array;
  /** One per block, for types with an offset; negative for types that subtract it. */
  readonly offsetUnits?: Float32Array;
  /** One integer per group, for types that store them. */
  readonly scales?: Float32Array;
  /** One integer per group, for types that store them and have an offset. */
  readonly offsets?: Float32Array;
}

const grid: GroupGrid = { scale: 0, offset: 0, scaleCode: 0, offsetCode: 0 };
const unchanged = { factor: 1, shift: 0 };

/** Reads the numbers of blocks. */
export function splitBlocks(type: BlockType, bytes: Uint8Array): BlockNumbers {
  const { elements, bytes: blockBytes } = parseGgmlBlock(type);
  const { width, range, book, units: places, multiples, tryGrid } = blockCodecs[type];
  const [least, greatest] = range;
  const [blocks, groups] = [bytes.length / blockBytes, elements / width];
  const perGroup = (isStored: boolean): Float32Array | undefined =>
    isStored ? new Float32Array(blocks * groups) : undefined;
  const perBlock = (place: number | undefined, sign: number): Float32Array | undefined =>
    place === undefined
      ? undefined
      : Float32Array.from(
          { length: blocks },
          (_, block) => sign * halfToNumber(view.getUint16(block * blockBytes + place, true)),
        );
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const scales = perGroup(multiples !== undefined);
  const offsets = perGroup(multiples?.offset !== undefined);
  const codes = new Float32Array(blocks * elements);
  dequantize(type, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), codes);
  for (let block = 0, at = 0; block < blocks; block++) {
    for (let group = 0; group < groups; group++) {
      tryGrid(view, block * blockBytes, group, unchanged, grid);
      const { scale, offset, scaleCode, offsetCode } = grid;
      scales?.fill(scaleCode, block * groups + group, block * groups + group + 1);
      offsets?.fill(offsetCode, block * groups + group, block * groups + group + 1);
      for (let i = 0; i < width; i++, at++) {
        const code = scale === 0 ? 0 : ((codes[at] ?? 0) - offset) / scale;
        codes[at] = round(book === undefined ? min(max(code, least), greatest) : code);
      }
    }
  }
  const offsetUnits = perBlock(places.offset, multiples === undefined ? 1 : -1);
  return {
    ...{ type, shape: [blocks, groups, width], codes },
    units: perBlock(places.scale, 1) ?? new Float32Array(),
    ...(offsetUnits === undefined ? {} : { offsetUnits }),
    ...(scales === undefined ? {} : { scales }),
    ...(offsets === undefined ? {} : { offsets }),
  };
}

/** Writes blocks with these numbers: units become float16, other numbers are integers in the range of the type. */
export function joinBlocks(blockNumbers: BlockNumbers): Uint8Array {
  const { type, shape, codes, units, offsetUnits, scales, offsets } = blockNumbers;
  const [blocks, groups, width] = shape;
  const { elements, bytes: blockBytes } = parseGgmlBlock(type);
  const { range, book, units: places, multiples, storeGrid, storeCodes } = blockCodecs[type];
  const [least] = range;
  const written = new Uint8Array(blocks * blockBytes);
  const view = new DataView(written.buffer);
  const sign = multiples === undefined ? 1 : -1;
  for (let block = 0; block < blocks; block++) {
    const at = block * blockBytes;
    view.setUint16(at + places.scale, numberToHalf(units[block] ?? 0), true);
    if (places.offset !== undefined) {
      view.setUint16(at + places.offset, numberToHalf(sign * (offsetUnits?.[block] ?? 0)), true);
    }
    for (let group = 0; scales !== undefined && group < groups; group++) {
      grid.scaleCode = scales[block * groups + group] ?? 0;
      grid.offsetCode = offsets?.[block * groups + group] ?? 0;
      storeGrid(view, at, group, grid);
    }
    for (let i = 0; i < groups * width; i++) {
      const code = codes[block * elements + i] ?? 0;
      codesOfBlock[i] = book === undefined ? code - least : book.indexOf(code);
    }
    storeCodes(view, at);
  }
  return written;
}
