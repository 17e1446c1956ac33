import { describe, expect, it } from 'vitest';
import { gridLayout, moveInGrid } from '../../../webview/grid/grid-layout';
import type { Place } from '../../../webview/grid/grid-layout';

describe('layout', () => {
  it('shows distances in the cells if there is room', () => {
    expect(gridLayout(1360, 12, 2)).toEqual({
      orientation: 'across',
      dense: false,
      narrow: false,
      low: false,
      labelEvery: 1,
      showValues: true,
    });
    expect(gridLayout(440, 12, 2)).toMatchObject({ orientation: 'across', showValues: false });
  });

  it('shrinks eighty blocks into a wide panel', () => {
    expect(gridLayout(1360, 80, 2)).toEqual({
      orientation: 'across',
      dense: true,
      narrow: false,
      low: false,
      labelEvery: 5,
      showValues: false,
    });
  });

  it('is vertical in a narrow panel that cannot fit the blocks', () => {
    expect(gridLayout(440, 80, 2)).toMatchObject({ orientation: 'down', showValues: true });
    expect(gridLayout(800, 80, 2)).toMatchObject({ orientation: 'across' });
  });

  it('keeps thirty blocks across in half of a small window, without numbers', () => {
    expect(gridLayout(285, 30, 2)).toMatchObject({ orientation: 'across', narrow: true });
    expect(gridLayout(602, 30, 2)).toMatchObject({ orientation: 'across', narrow: false });
  });

  it('has low rows for many experts, one below the other in any panel', () => {
    expect(gridLayout(1360, 48, 131)).toMatchObject({ orientation: 'across', low: true });
    expect(gridLayout(440, 80, 131)).toMatchObject({ orientation: 'across', low: true });
    expect(gridLayout(1360, 48, 11)).toMatchObject({ low: false });
  });
});

describe('moving', () => {
  const all = () => true;
  const from: Place = { row: 0, column: 1 };
  const move = (key: string, start: Place, filled: (place: Place) => boolean = all) =>
    moveInGrid(key, false, start, 2, 3, filled);

  it('moves to the neighbor and stops at the edge', () => {
    expect(move('ArrowRight', from)).toEqual({ row: 0, column: 2 });
    expect(move('ArrowLeft', from)).toEqual({ row: 0, column: 0 });
    expect(move('ArrowDown', from)).toEqual({ row: 1, column: 1 });
    expect(move('ArrowUp', from)).toEqual(from);
  });

  it('moves to the ends of the row, with Control to those of the grid', () => {
    expect(move('End', from)).toEqual({ row: 0, column: 2 });
    expect(move('Home', { row: 1, column: 2 })).toEqual({ row: 1, column: 0 });
    expect(moveInGrid('End', true, from, 2, 3, all)).toEqual({ row: 1, column: 2 });
    expect(moveInGrid('Home', true, { row: 1, column: 2 }, 2, 3, all)).toEqual({
      row: 0,
      column: 0,
    });
  });

  it('steps over places without a sublayer', () => {
    const withHole = ({ row, column }: Place) => !(row === 0 && column === 1);
    expect(move('ArrowRight', { row: 0, column: 0 }, withHole)).toEqual({ row: 0, column: 2 });
    expect(move('ArrowUp', { row: 1, column: 1 }, withHole)).toEqual({ row: 1, column: 1 });
  });

  it('leaves other keys alone', () => {
    expect(move('a', from)).toBeUndefined();
  });
});
