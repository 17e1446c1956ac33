import { wasmModule } from '../../web-assembly';
import type { WasmMemory } from '../../web-assembly';
import { searchBytes } from './search-bytes';

/** Position of an array, in bytes. */
interface Place {
  readonly value: number;
}

/** Exports of search.as: positions of its arrays in memory, and functions that process them. */
interface Exports {
  readonly memory: WasmMemory;
  readonly block: Place;
  readonly weights: Place;
  readonly numbers: Place;
  readonly scales: Place;
  readonly minima: Place;
  readonly sums: Place;
  readonly scaleNumbers: Place;
  readonly borders: Place;
  readonly growths: Place;
  readonly fitAffine: (
    groups: number,
    width: number,
    most: number,
    first: number,
    between: number,
    steps: number,
    absolute: boolean,
  ) => void;
  readonly fitSymmetric: (groups: number, width: number, most: number) => void;
  readonly fitScales: (count: number, most: number) => number;
  readonly fitToBook: (groups: number, width: number, lowest: number) => void;
}

const wasm = wasmModule(searchBytes)() as Exports;
const { buffer } = wasm.memory;

/** Numbers of the largest block, its groups, and the values of a code book but the lowest. */
const [size, mostGroups, mostBorders] = [256, 16, 15] as const;
const floats = ({ value }: Place, count: number): Float32Array =>
  new Float32Array(buffer, value, count);
const bytes = ({ value }: Place, count: number): Uint8Array => new Uint8Array(buffer, value, count);

/** The current block: its values, their weights, and their codes, by groups of one width. */
export const block = floats(wasm.block, size);
/** Importance of each number of a block; shared with WebAssembly. */
export const weights = floats(wasm.weights, size);
export const numbers = bytes(wasm.numbers, size);
/** Scales and minima of each group; minima with the opposite sign. */
export const scales = floats(wasm.scales, mostGroups);
export const minima = floats(wasm.minima, mostGroups);
/** The sum of each group's weights, for {@link fitScales}. */
export const sums = floats(wasm.sums, mostGroups);
/** Codes of the scales. */
export const scaleNumbers = bytes(wasm.scaleNumbers, mostGroups);
/**
 * The values of a code book but the lowest: the least float32 that is rounded to each, and by how much it is greater than the
 * value below. Who searches by a book sets them once.
 */
export const borders = floats(wasm.borders, mostBorders);
export const growths = floats(wasm.growths, mostBorders);

/** Settings of {@link fitAffine}. */
export interface AffineSearch {
  /** Greatest integer. */
  readonly most: number;
  /** Amount added to it at first, and at each step. */
  readonly from: number;
  readonly step: number;
  readonly steps: number;
  /** Errors count by their size, not by their square. */
  readonly absolute?: boolean;
}

/** Finds scales, minima and numbers 0 … most. */
export function fitAffine(
  groups: number,
  width: number,
  { most, from, step, steps, absolute = false }: AffineSearch,
): void {
  wasm.fitAffine(groups, width, most, from, step, steps, absolute);
}

/** Finds scales and numbers −most … most − 1, which are stored with `most` added. */
export const { fitSymmetric } = wasm;

/** The same for the scales of `count` groups; returns their scale. Overwrites the minima. */
export const { fitScales } = wasm;

/** Finds scales for values of the code book that is set. */
export const { fitToBook } = wasm;
