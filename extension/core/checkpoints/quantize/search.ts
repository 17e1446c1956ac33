import { wasmModule } from '../../web-assembly';
import type { WasmMemory } from '../../web-assembly';
import { searchBytes } from './search-bytes';

/** Where an array lies, in bytes. */
interface Place {
  readonly value: number;
}

/** What search.as exports: where its arrays lie in its memory, and what works on them. */
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

/** One block in work: its numbers, their weights, and the integers that stand for them, by groups of one width. */
export const block = floats(wasm.block, size);
export const weights = floats(wasm.weights, size);
export const numbers = bytes(wasm.numbers, size);
/** Of each group; minima with the opposite sign. */
export const scales = floats(wasm.scales, mostGroups);
export const minima = floats(wasm.minima, mostGroups);
/** The sum of each group's weights, for {@link fitScales}. */
export const sums = floats(wasm.sums, mostGroups);
/** The integers that stand for the scales. */
export const scaleNumbers = bytes(wasm.scaleNumbers, mostGroups);
/**
 * The values of a code book but the lowest: the least float32 that is rounded to each, and by how much it is greater than the
 * value below. Who searches by a book sets them once.
 */
export const borders = floats(wasm.borders, mostBorders);
export const growths = floats(wasm.growths, mostBorders);

/** How {@link fitAffine} searches. */
export interface AffineSearch {
  /** Greatest integer. */
  readonly most: number;
  /** What is added to it first, and from step to step. */
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

/** The same of the scales of so many groups, whose scale it gives. Minima are overwritten. */
export const { fitScales } = wasm;

/** Finds scales for values of the code book that is set. */
export const { fitToBook } = wasm;
