import type { SymbolicGraph } from './symbolic-graph';
import { UserError } from '../../user-error';
import type { Place } from './positions';
import { say } from '../../message';

/**
 * Assignment of input values to the graph. `compat` reproduces the released code of arXiv
 * 2303.03340: an additional unused slot per edge, doubled messages, and positions scrambled by a
 * reshape.
 */
export type ModuleMode = 'clean' | 'compat';
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
      say`A graph of ${slots} slots does not fit an input of ${width} numbers.`,
      {
        remedy: say`Use a smaller graph or a wider input.`,
      },
    );
  }
  const each = Math.floor(width / slots);
  const first = width - each * (slots - 1);
  return ids.map((id) => {
    const [start, length] = id === 0 ? [0, first] : [first + (id - 1) * each, each];
    return Array.from({ length: width }, (_, i) => start + (i % length));
  });
}

/** Location of the position of `id`: column 0 for a node, port + 1 for an edge. */
export function slotPlace(id: number, column: number, slots: number, mode: ModuleMode): Place {
  const cell = id * columns + column;
  return mode === 'clean' ? [id, column] : [cell % slots, Math.floor(cell / slots)];
}
