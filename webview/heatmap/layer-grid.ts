import { inkOn, paletteColor } from '../charts/palette';
import { h, setAttribute } from '../dom';
import { formatDistanceShort } from '../format';
import { lockIcon } from '../icons';
import { strings } from '../strings';
import { cellLabel, unitName } from './cell-text';
import type { Cell, CellSet } from './cells';
import type { GridLayout, Place } from './grid-layout';
import { gridLayout, LEAST_CELL_WIDTH, MOST_CELL_WIDTH, moveInGrid } from './grid-layout';
import { isInLine, linesOf } from './kinds';
import type { Line } from './kinds';

export interface GridEvents {
  /** The cell under the pointer or with the focus has changed. */
  readonly pointed: (id: string | undefined) => void;
  readonly clicked: (cell: Cell) => void;
  /** Enter or Space. */
  readonly toggledRemoval: (cell: Cell) => void;
  /** P */
  readonly toggledProtection: (cell: Cell) => void;
}

/**
 * The heatmap itself: an ARIA grid with a roving tab stop, one cell per sublayer. What cells show in
 * short (order, distance) is drawn by the stylesheet from attributes; their label says it in full.
 */
export class LayerGrid {
  public readonly element: HTMLElement;
  private readonly grid: HTMLElement;
  private readonly cellElements = new Map<string, HTMLElement>();
  private cells: CellSet | undefined;
  private layout: GridLayout | undefined;
  private built = '';
  private blocks: readonly number[] = [];
  private lines: readonly Line[] = [];
  private tabStop: string | undefined;
  private hovered: string | undefined;
  private focused: string | undefined;

  public constructor(
    describedBy: string,
    private readonly events: GridEvents,
  ) {
    this.grid = h('div', {
      role: 'grid',
      class: 'layer-grid',
      'aria-label': strings.heatmap,
      'aria-describedby': describedBy,
      'aria-multiselectable': 'true',
    });
    this.grid.style.setProperty('--least-cell', `${LEAST_CELL_WIDTH}px`);
    this.grid.style.setProperty('--most-cell', `${MOST_CELL_WIDTH}px`);
    this.element = h('div', { class: 'grid-scroll' }, this.grid);
    this.listen();
    new ResizeObserver(() => {
      this.draw();
    }).observe(this.element);
  }

  public update(cells: CellSet): void {
    this.cells = cells;
    this.draw();
  }

  private draw(): void {
    if (this.cells === undefined) return;
    const blocks = [...new Set(this.cells.cells.map((cell) => cell.sublayer.block))];
    const lines = linesOf(this.cells.cells.map(({ sublayer }) => sublayer));
    const layout = gridLayout(this.element.clientWidth, blocks.length, lines.length);
    const shape = `${layout.orientation} ${this.cells.cells.map((c) => c.sublayer.id).join()}`;
    if (shape !== this.built) {
      this.built = shape;
      this.lines = lines;
      this.build(blocks, layout);
    }
    this.layout = layout;
    this.grid.dataset['labelEvery'] = String(layout.labelEvery);
    this.grid.classList.toggle('dense', layout.dense);
    this.grid.classList.toggle('low', layout.low);
    this.grid.classList.toggle('with-values', layout.showValues);
    for (const cell of this.cells.cells) this.drawCell(cell, this.cells);
  }

  private build(blocks: readonly number[], { orientation }: GridLayout): void {
    const cells = this.cells;
    if (cells === undefined) return;
    this.blocks = blocks;
    const { lines } = this;
    this.cellElements.clear();
    const slots = new Map(
      cells.cells.map(({ sublayer }) => [`${sublayer.block} ${unitName(sublayer)}`, sublayer.id]),
    );
    const slot = (block: number, line: Line) => {
      const id = slots.get(`${block} ${unitName(line)}`);
      return id === undefined ? emptySlot() : this.createCell(id);
    };
    const blockHeader = (block: number, role: string) => {
      const header = h('span', { role, class: 'block-number' }, String(block));
      header.setAttribute('aria-label', strings.blockNumber(block));
      header.classList.toggle('fifth', block % 5 === 0);
      return header;
    };
    const corner = h('span', { role: 'columnheader', class: 'corner' }, strings.block);
    const lineHeader = (line: Line, role: string) =>
      h('span', { role, class: 'kind-name' }, unitName(line));
    const rows =
      orientation === 'across'
        ? [
            row(corner, ...blocks.map((block) => blockHeader(block, 'columnheader'))),
            ...lines.map((line) =>
              row(lineHeader(line, 'rowheader'), ...blocks.map((block) => slot(block, line))),
            ),
          ]
        : [
            row(corner, ...lines.map((line) => lineHeader(line, 'columnheader'))),
            ...blocks.map((block) =>
              row(blockHeader(block, 'rowheader'), ...lines.map((line) => slot(block, line))),
            ),
          ];
    this.grid.dataset['orientation'] = orientation;
    this.grid.style.setProperty('--blocks', String(blocks.length));
    this.grid.style.setProperty('--kinds', String(lines.length));
    this.grid.replaceChildren(...rows);
    const known = this.tabStop !== undefined && this.cellElements.has(this.tabStop);
    this.moveTabStop(known ? this.tabStop : cells.cells[0]?.sublayer.id);
  }

  private createCell(id: string): HTMLElement {
    const cell = h(
      'div',
      { role: 'gridcell', class: 'cell', tabindex: -1, 'data-id': id },
      h('span', { class: 'fill' }),
      h('span', { class: 'badge', 'aria-hidden': 'true' }),
    );
    this.cellElements.set(id, cell);
    return cell;
  }

  private drawCell(cell: Cell, { distances, previews, ranked }: CellSet): void {
    const element = this.cellElements.get(cell.sublayer.id);
    const [fill, badge] = element?.children ?? [];
    if (element === undefined || !(fill instanceof HTMLElement) || !badge) return;
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
    setAttribute(
      element,
      'data-value',
      shown === undefined ? undefined : formatDistanceShort(shown),
    );
    if (cell.mark !== 'protected') badge.replaceChildren();
    else if (badge.firstChild === null) badge.append(lockIcon());
  }

  private moveTabStop(id: string | undefined): void {
    const before = this.tabStop === undefined ? undefined : this.cellElements.get(this.tabStop);
    before?.setAttribute('tabindex', '-1');
    this.tabStop = id;
    if (id !== undefined) this.cellElements.get(id)?.setAttribute('tabindex', '0');
  }

  private listen(): void {
    const cellAt = (event: Event) => {
      const target = event.target instanceof Element ? event.target.closest('.cell') : null;
      return target instanceof HTMLElement ? target.dataset['id'] : undefined;
    };
    this.grid.addEventListener('pointerover', (event) => {
      this.hovered = cellAt(event);
      this.point();
    });
    this.grid.addEventListener('pointerleave', () => {
      this.hovered = undefined;
      this.point();
    });
    this.grid.addEventListener('focusin', (event) => {
      this.focused = cellAt(event);
      // The keyboard has moved on: the pointer, wherever it rests, comes second.
      this.hovered = undefined;
      if (this.focused !== undefined) this.moveTabStop(this.focused);
      this.point();
    });
    this.grid.addEventListener('click', (event) => {
      const cell = this.cells?.byId.get(cellAt(event) ?? '');
      if (cell !== undefined) this.events.clicked(cell);
    });
    this.grid.addEventListener('keydown', (event) => {
      const cell = this.cells?.byId.get(cellAt(event) ?? '');
      if (cell !== undefined && this.pressed(event, cell)) event.preventDefault();
    });
  }

  /** Whether the key meant something. */
  private pressed(event: KeyboardEvent, cell: Cell): boolean {
    if (event.altKey || event.metaKey) return false;
    if (event.key === 'Enter' || event.key === ' ') {
      this.events.toggledRemoval(cell);
      return true;
    }
    if (event.key.toLowerCase() === 'p' && !event.ctrlKey) {
      this.events.toggledProtection(cell);
      return true;
    }
    const across = this.layout?.orientation !== 'down';
    const line = this.lines.findIndex((one) => isInLine(cell.sublayer, one));
    const block = this.blocks.indexOf(cell.sublayer.block);
    const from = across ? { row: line, column: block } : { row: block, column: line };
    const [rows, columns] = across
      ? [this.lines.length, this.blocks.length]
      : [this.blocks.length, this.lines.length];
    const to = moveInGrid(
      event.key,
      event.ctrlKey,
      from,
      rows,
      columns,
      (place) => this.idAt(place) !== undefined,
    );
    const id = to && this.idAt(to);
    if (id === undefined) return false;
    this.cellElements.get(id)?.focus();
    return true;
  }

  private idAt({ row, column }: Place): string | undefined {
    const across = this.layout?.orientation !== 'down';
    const line = this.lines[across ? row : column];
    const block = this.blocks[across ? column : row];
    return this.cells?.cells.find(
      ({ sublayer }) => sublayer.block === block && line !== undefined && isInLine(sublayer, line),
    )?.sublayer.id;
  }

  private point(): void {
    this.events.pointed(this.hovered ?? this.focused);
  }
}

function row(...children: readonly HTMLElement[]): HTMLElement {
  return h('div', { role: 'row', class: 'grid-row' }, ...children);
}

function emptySlot(): HTMLElement {
  return h('div', { role: 'gridcell', class: 'empty-slot', 'aria-label': strings.noSublayer });
}
