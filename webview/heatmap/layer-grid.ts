import { inkOn, paletteColor } from '../charts/palette';
import { setAttribute } from '../dom';
import { formatDistanceShort } from '../format';
import { BlockGrid } from '../grid/block-grid';
import type { GridItem } from '../grid/block-grid';
import { graphIcon, lockIcon } from '../icons';
import { strings } from '../strings';
import { cellLabel, cellTooltip, unitName } from './cell-text';
import type { Cell, CellSet } from './cells';
import { linesOf } from './kinds';

export interface GridEvents {
  /** The cell under the pointer or with the focus has changed. */
  readonly pointed: (id: string | undefined) => void;
  readonly clicked: (cell: Cell) => void;
  /** Enter or Space. */
  readonly toggledRemoval: (cell: Cell) => void;
  /** P */
  readonly toggledProtection: (cell: Cell) => void;
}

interface LayerItem extends GridItem {
  readonly cell: Cell;
}

/** The heatmap itself: one cell per sublayer, which can be marked. */
export class LayerGrid {
  public readonly element: HTMLElement;
  private readonly grid: BlockGrid<LayerItem>;
  private cells: CellSet | undefined;

  public constructor(describedBy: string, events: GridEvents) {
    this.grid = new BlockGrid<LayerItem>({
      label: strings.heatmap,
      describedBy,
      chooses: true,
      words: { corner: strings.block, block: strings.blockNumber, nothing: strings.noSublayer },
      draw: (element, fill, badge, { cell }) => {
        if (this.cells !== undefined) drawCell(element, fill, badge, cell, this.cells);
      },
      pointed: events.pointed,
      clicked: ({ cell }) => {
        events.clicked(cell);
      },
      pressed: ({ key, ctrlKey }, { cell }) => {
        if (key === 'Enter' || key === ' ') events.toggledRemoval(cell);
        else if (key.toLowerCase() === 'p' && !ctrlKey) events.toggledProtection(cell);
        else return false;
        return true;
      },
    });
    this.element = this.grid.element;
  }

  public update(cells: CellSet): void {
    this.cells = cells;
    this.grid.update(
      cells.cells.map((cell) => ({
        id: cell.sublayer.id,
        block: cell.sublayer.block,
        line: unitName(cell.sublayer),
        cell,
      })),
      linesOf(cells.cells.map(({ sublayer }) => sublayer)).map(unitName),
    );
  }
}

function drawCell(
  element: HTMLElement,
  fill: HTMLElement,
  badge: HTMLElement,
  cell: Cell,
  { distances, previews, ranked }: CellSet,
): void {
  setAttribute(element, 'data-status', cell.status);
  setAttribute(element, 'data-mark', cell.mark);
  setAttribute(element, 'aria-label', cellLabel(cell, ranked));
  setAttribute(element, 'aria-selected', cell.mark === 'removed' ? 'true' : 'false');
  const number = cell.status === 'measured' ? (cell.distance ?? cell.atLeast) : cell.preview;
  const scale = cell.status === 'measured' ? distances : previews;
  if (number === undefined || scale === undefined || cell.status === 'excluded') {
    fill.style.removeProperty('--cell');
    setAttribute(element, 'data-ink', undefined);
  } else {
    const position = scale.position(number);
    fill.style.setProperty('--cell', paletteColor(position));
    setAttribute(element, 'data-ink', cell.status === 'measured' && inkOn(position));
  }
  const shown = cell.status === 'measured' ? number : undefined;
  setAttribute(badge, 'data-order', cell.order);
  setAttribute(element, 'data-value', shown === undefined ? undefined : formatDistanceShort(shown));
  setAttribute(element, 'title', cellTooltip(cell));
  // What the menu of a right click is told.
  const context = { webviewSection: 'sublayer', sublayer: cell.sublayer.id, mark: cell.mark };
  const menu = { ...context, preventDefaultContextMenuItems: true };
  setAttribute(element, 'data-vscode-context', JSON.stringify(menu));
  if (cell.patch === undefined) fill.replaceChildren();
  else if (fill.firstChild === null) fill.append(graphIcon());
  if (cell.mark !== 'protected') badge.replaceChildren();
  else if (badge.firstChild === null) badge.append(lockIcon());
}
