/** `across`: one column per block, with the kinds of sublayers as rows; `down`: one row per block. */
export type Orientation = 'across' | 'down';

export interface GridLayout {
  readonly orientation: Orientation;
  /** Every how many blocks a number is shown, so that numbers do not run into each other. */
  readonly labelEvery: number;
  /** True if cells are so small that gaps and numbers shrink. */
  readonly dense: boolean;
  /** True if cells are too narrow for the order of removal. */
  readonly narrow: boolean;
  /** True if there is a line for each expert, so that lines are low. */
  readonly low: boolean;
  /** True if cells are wide enough to show their distance. */
  readonly showValues: boolean;
}

const LABEL_WIDTH = 96;
const GAP = 2;
const DENSE_GAP = 1;
/** Minimum width of a cell with a two-digit order number. */
const NUMBER_WIDTH = 14;
/** Minimum width of a cell that is visible and clickable. */
export const LEAST_CELL_WIDTH = 5;
const DENSE_CELL_WIDTH = 22;
export const MOST_CELL_WIDTH = 112;
const NARROW_PANEL = 640;
const VALUE_WIDTH = 46;
const BLOCK_NUMBER_WIDTH = 24;
const MANY_LINES = 24;

/**
 * Layout of `blocks` of `lines` cells in `width` CSS pixels. Blocks run down if they do not fit in a narrow panel,
 * unless there are more lines than fit in a row.
 */
export function gridLayout(width: number, blocks: number, lines: number): GridLayout {
  const low = lines > MANY_LINES;
  const share = (width - LABEL_WIDTH) / Math.max(blocks, 1);
  const dense = share - GAP < DENSE_CELL_WIDTH;
  const fitting = share - (dense ? DENSE_GAP : GAP);
  if (fitting < LEAST_CELL_WIDTH && width < NARROW_PANEL && !low) {
    return {
      ...{ orientation: 'down', labelEvery: 1, dense: false },
      ...{ narrow: false, low, showValues: true },
    };
  }
  const cell = Math.min(Math.max(fitting, LEAST_CELL_WIDTH), MOST_CELL_WIDTH);
  return {
    orientation: 'across',
    dense,
    narrow: cell < NUMBER_WIDTH,
    low,
    labelEvery: cell >= BLOCK_NUMBER_WIDTH ? 1 : 5,
    showValues: cell >= VALUE_WIDTH,
  };
}

/** A place in the grid, counted from 0, headers left out. */
export interface Place {
  readonly row: number;
  readonly column: number;
}

/**
 * Target of a key in the grid, following the ARIA grid pattern; undefined for other keys. Positions without a sublayer
 * are skipped.
 */
export function moveInGrid(
  key: string,
  withControl: boolean,
  from: Place,
  rows: number,
  columns: number,
  isFilled: (place: Place) => boolean,
): Place | undefined {
  const scan = (start: Place, rowStep: number, columnStep: number): Place | undefined => {
    let { row, column } = start;
    while (row >= 0 && row < rows && column >= 0 && column < columns) {
      if (isFilled({ row, column })) return { row, column };
      row += rowStep;
      column += columnStep;
    }
    return undefined;
  };
  const step = (rowStep: number, columnStep: number) =>
    scan({ row: from.row + rowStep, column: from.column + columnStep }, rowStep, columnStep) ??
    from;
  switch (key) {
    case 'ArrowLeft':
      return step(0, -1);
    case 'ArrowRight':
      return step(0, 1);
    case 'ArrowUp':
      return step(-1, 0);
    case 'ArrowDown':
      return step(1, 0);
    case 'Home':
      return scan({ row: withControl ? 0 : from.row, column: 0 }, 0, 1) ?? from;
    case 'End':
      return scan({ row: withControl ? rows - 1 : from.row, column: columns - 1 }, 0, -1) ?? from;
    default:
      return undefined;
  }
}
