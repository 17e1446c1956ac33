import type { SymbolicGraph } from './symbolic-graph';
import { UserError } from '../../user-error';
import { say } from '../../message';

/**
 * Assignment of input values to the graph. `compat` reproduces the released code of arXiv
 * 2303.03340: an additional unused slot per edge, doubled messages, and positions scrambled by a
 * reshape.
 */
export type ModuleMode = 'clean' | 'compat';
/** Inputs of a graph module: `clean`, or `compat` as in the released code. */
export const moduleModes: readonly ModuleMode[] = ['clean', 'compat'];

/** Columns of the table of positions: one for nodes, one for each port of an edge. */
const columns = 11;

/** Messages of each neighbor that are added. */
export const messageFactor: Readonly<Record<ModuleMode, number>> = { clean: 1, compat: 2 };

/** Slices that the input is cut into: one for each node and edge, in `compat` two for each edge. */
export function slotCount({ nodes, edges }: SymbolicGraph, mode: ModuleMode): number {
  return nodes.length + messageFactor[mode] * edges.length;
}

/** True if an input with `width` values has one for each slot. */
export const fits = (graph: SymbolicGraph, mode: ModuleMode, width: number): boolean =>
  slotCount(graph, mode) <= width;

/**
 * Choice features: for each of `ids`, the indices of the input values [width] that it reads, a slice repeated to the
 * width; [ids][width]. Slice 0 also has the remainder of the division.
 * @throws UserError if there are more slots than values
 */
export function choiceIndices(ids: readonly number[], slots: number, width: number): number[][] {
  if (slots > width) {
    throw new UserError(
      'graph-slots-mismatch',
      say`A graph of ${slots} slots does not fit an input of ${width} values.`,
      { remedy: say`Use a smaller graph or a wider input.` },
    );
  }
  const each = Math.floor(width / slots);
  const first = width - each * (slots - 1);
  return ids.map((id) => {
    const [start, length] = id === 0 ? [0, first] : [first + (id - 1) * each, each];
    return Array.from({ length: width }, (_, i) => start + (i % length));
  });
}

/** Point in the plane. */
export type Place = readonly [x: number, y: number];

/**
 * Sine-cosine features of places, [places, width] row by row: sin xω, cos xω, sin yω, cos yω with
 * ω_k = 10000^(−k / (width / 4 − 1)) (Beyer et al. 2022, arXiv 2205.01580).
 * @throws UserError when the width is not a multiple of 4 of at least 8.
 */
export function sinCosPositions(places: readonly Place[], width: number): Float32Array {
  const count = width / 4;
  if (!Number.isInteger(count) || count < 2) {
    throw new UserError(
      'width-not-divisible',
      say`Position features need a width divisible by 4, not ${width}.`,
      { remedy: say`Use a multiple of 4, at least 8.` },
    );
  }
  const frequencies = Array.from({ length: count }, (_, k) => 10_000 ** (-k / (count - 1)));
  const waves = (at: number): number[] => [
    ...frequencies.map((frequency) => Math.sin(at * frequency)),
    ...frequencies.map((frequency) => Math.cos(at * frequency)),
  ];
  return Float32Array.from(places.flatMap(([x, y]) => [...waves(x), ...waves(y)]));
}

/** Location of the position of `id`: column 0 for a node, port + 1 for an edge. */
export function slotPlace(id: number, column: number, slots: number, mode: ModuleMode): Place {
  const cell = id * columns + column;
  return mode === 'clean' ? [id, column] : [cell % slots, Math.floor(cell / slots)];
}
