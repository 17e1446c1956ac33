import { blockName } from '../blocks';
import { h, setAttribute } from '../dom';
import type { GridLayout, Place } from './grid-layout';
import { gridLayout, LEAST_CELL_WIDTH, MOST_CELL_WIDTH, moveInGrid } from './grid-layout';

/** Position of a cell in the grid: a block and one of its lines. */
export interface GridItem {
  readonly id: string;
  readonly block: number;
  /** Name of the line, which people read. */
  readonly line: string;
}

/** A place of the grid whose part the model has lost already. */
export type LostPlace = Pick<GridItem, 'block' | 'line'>;

/** Accessible name of a grid, and handlers of its cells. */
export interface GridOptions<Item extends GridItem> {
  readonly label: string;
  /** Id of the element with the usage hint. */
  readonly describedBy: string;
  /** True if several cells can be selected. */
  readonly chooses: boolean;
  /** Initial scroll position of a grid that is wider than the page, in pixels. */
  readonly scrollLeft?: number | undefined;
  readonly words: {
    readonly corner: string;
    readonly nothing: string;
    /** Label of positions whose part was removed earlier, if there are any. */
    readonly lost?: string;
  };
  readonly lost?: readonly LostPlace[];
  /** Number of encoder blocks; decoder blocks are drawn with a gap. */
  readonly encoderBlocks?: number | undefined;
  /**
   * Draws an item; the cell has the child `.fill`, or is the fill if it is plain. `before` is the item that the cell shows.
   */
  readonly draw: (cell: HTMLElement, fill: HTMLElement, item: Item, before?: Item) => void;
  /** True if a cell that is too small for text shows no more of an item than its color and a badge. */
  readonly isPlain?: (item: Item) => boolean;
  /** Context of the right-click menu of an item, for `data-vscode-context`. */
  readonly menuContext?: ((item: Item) => object) | undefined;
  /** The cell under the pointer or with the focus has changed. */
  readonly pointed: (id: string | undefined) => void;
  readonly clicked: (item: Item) => void;
  /** A key that moves nothing; whether it meant something. */
  readonly pressed: (event: KeyboardEvent, item: Item) => boolean;
}

/** Number of cells up to which the whole grid is drawn at once. */
const CELLS_AT_ONCE = 500;
/** Rows of a larger grid whose cells are drawn in one frame. */
const ROWS_AT_ONCE = 8;
/** Distance from the visible area at which rows get their cells, in pixels. */
const AHEAD = 120;

/** A row of the grid. Cells of a large grid are in the page only if the row is near the visible area or has the tab stop. */
interface GridRow {
  readonly element: HTMLElement;
  readonly header: HTMLElement;
  /** Positions of its cells, in order. */
  readonly slots: readonly LostPlace[];
  /** Cells at the positions, made when they are first needed. */
  cells: readonly HTMLElement[];
  isFilled: boolean;
}

/**
 * Blocks against lines, such as kinds of sublayers or matrices: an ARIA grid with a roving tab stop. What
 * cells show in short is drawn by the stylesheet from attributes; their label says it in full.
 */
export class BlockGrid<Item extends GridItem> {
  public readonly element: HTMLElement;
  private readonly grid: HTMLElement;
  private readonly cellElements = new Map<string, HTMLElement>();
  private rows: readonly GridRow[] = [];
  private readonly rowsByElement = new Map<Element, GridRow>();
  /** Rows near the visible area that wait for their cells. */
  private readonly waiting = new Set<GridRow>();
  private isFilling = false;
  private readonly nearness: IntersectionObserver;
  /** Copied for every cell, which is faster than making it of its parts. */
  private readonly emptyCell = h(
    'div',
    { role: 'gridcell', class: 'cell', tabindex: -1 },
    h('span', { class: 'fill' }),
  );
  private readonly plainCell = h('div', { role: 'gridcell', class: 'cell plain', tabindex: -1 });
  private items: ReadonlyMap<string, Item> = new Map();
  private places: ReadonlyMap<string, string> = new Map();
  /** In pixels; unknown before the page is laid out, which asking for it would do once more. */
  private width: number | undefined;
  private built = '';
  /** Data that cells depend on besides their items. */
  private context: unknown;
  private readonly drawn = new Map<string, Item>();
  /** True if cells are too small for text. */
  private isDense = false;
  private blocks: readonly number[] = [];
  private lines: readonly string[] = [];
  private tabStop: string | undefined;
  private hovered: string | undefined;
  private focused: string | undefined;

  public constructor(private readonly options: GridOptions<Item>) {
    this.grid = h('div', {
      role: 'grid',
      class: 'layer-grid',
      'aria-label': options.label,
      'aria-describedby': options.describedBy,
      'aria-multiselectable': options.chooses ? 'true' : undefined,
    });
    this.grid.style.setProperty('--least-cell', `${LEAST_CELL_WIDTH}px`);
    this.grid.style.setProperty('--most-cell', `${MOST_CELL_WIDTH}px`);
    this.element = h('div', { class: 'grid-scroll' }, this.grid);
    this.listen();
    const margin = { rootMargin: `${AHEAD}px`, scrollMargin: `${AHEAD}px` };
    this.nearness = new IntersectionObserver((entries) => {
      this.fillNearRows(entries);
    }, margin);
    new ResizeObserver(([entry]) => {
      this.width = entry?.contentRect.width;
      this.draw();
    }).observe(this.element);
  }

  /**
   * @param lines in the order in which a block's are shown
   * @param context what cells are drawn from besides their items: while it is the same, only other items are drawn
   */
  public update(items: readonly Item[], lines: readonly string[], context: unknown): void {
    if (context !== this.context) this.drawn.clear();
    this.context = context;
    this.items = new Map(items.map((item) => [item.id, item]));
    this.places = new Map(items.map(({ id, block, line }) => [`${block} ${line}`, id]));
    this.lines = lines;
    this.draw();
  }

  private draw(): void {
    if (this.items.size === 0 || this.width === undefined) return;
    const { lost = [] } = this.options;
    const blocks = [...new Set([...this.items.values(), ...lost].map(({ block }) => block))].sort(
      (a, b) => a - b,
    );
    const layout = gridLayout(this.width, blocks.length, this.lines.length);
    this.isDense = layout.dense;
    const shape = `${layout.orientation} ${layout.dense} ${[...this.items.keys()].join()}`;
    const isFirst = this.built === '';
    if (shape !== this.built) {
      this.built = shape;
      this.build(blocks, layout);
    }
    setAttribute(this.grid, 'data-label-every', layout.labelEvery);
    this.grid.classList.toggle('dense', layout.dense);
    this.grid.classList.toggle('narrow', layout.narrow);
    this.grid.classList.toggle('low', layout.low);
    this.grid.classList.toggle('with-values', layout.showValues);
    for (const one of this.rows) if (one.isFilled) this.drawRow(one);
    const { scrollLeft = 0 } = this.options;
    if (isFirst && scrollLeft > 0) this.element.scrollLeft = scrollLeft;
  }

  private build(blocks: readonly number[], { orientation }: GridLayout): void {
    this.blocks = blocks;
    const { lines } = this;
    const { words } = this.options;
    this.cellElements.clear();
    this.drawn.clear();
    const blockHeader = (block: number, role: string) => {
      const header = h('span', { role, class: 'block-number' }, String(block));
      header.title = blockName(block, this.options.encoderBlocks);
      header.setAttribute('aria-label', header.title);
      header.classList.toggle('fifth', block % 5 === 0);
      return this.setApart(header, block);
    };
    const corner = h('span', { role: 'columnheader', class: 'corner' }, words.corner);
    const lineHeader = (line: string, role: string) =>
      h('span', { role, class: 'kind-name' }, line);
    const isAcross = orientation === 'across';
    const head = isAcross
      ? blocks.map((block) => blockHeader(block, 'columnheader'))
      : lines.map((line) => lineHeader(line, 'columnheader'));
    this.rows = isAcross
      ? lines.map((line) =>
          gridRow(
            lineHeader(line, 'rowheader'),
            blocks.map((block) => ({ block, line })),
          ),
        )
      : blocks.map((block) =>
          gridRow(
            blockHeader(block, 'rowheader'),
            lines.map((line) => ({ block, line })),
          ),
        );
    this.grid.dataset['orientation'] = orientation;
    this.grid.style.setProperty('--blocks', String(blocks.length));
    this.grid.style.setProperty('--kinds', String(lines.length));
    this.grid.replaceChildren(row(corner, ...head), ...this.rows.map(({ element }) => element));
    this.observeRows();
    const known = this.tabStop !== undefined && this.items.has(this.tabStop);
    const [first] = this.items.keys();
    this.moveTabStop(known ? this.tabStop : first);
  }

  private observeRows(): void {
    this.nearness.disconnect();
    this.rowsByElement.clear();
    this.waiting.clear();
    const isSmall = this.items.size <= CELLS_AT_ONCE;
    for (const [i, one] of this.rows.entries()) {
      if (isSmall || i < ROWS_AT_ONCE) this.fillRow(one);
      if (isSmall) continue;
      this.rowsByElement.set(one.element, one);
      this.nearness.observe(one.element);
    }
  }

  private fillNearRows(entries: readonly IntersectionObserverEntry[]): void {
    for (const { target, isIntersecting } of entries) {
      const one = this.rowsByElement.get(target);
      if (one === undefined) continue;
      if (isIntersecting) {
        if (!one.isFilled) this.waiting.add(one);
        continue;
      }
      this.waiting.delete(one);
      if (!this.hasTabStop(one)) this.clearRow(one);
    }
    this.fillWaitingRows();
  }

  private fillWaitingRows(): void {
    for (const one of [...this.waiting].slice(0, ROWS_AT_ONCE)) this.fillRow(one);
    if (this.waiting.size === 0 || this.isFilling) return;
    this.isFilling = true;
    requestAnimationFrame(() => {
      this.isFilling = false;
      this.fillWaitingRows();
    });
  }

  private hasTabStop({ element }: GridRow): boolean {
    const cell = this.cellElements.get(this.tabStop ?? '');
    return cell !== undefined && element.contains(cell);
  }

  private fillRow(one: GridRow): void {
    this.waiting.delete(one);
    if (one.isFilled) return;
    one.isFilled = true;
    if (one.cells.length === 0) {
      one.cells = one.slots.map(({ block, line }) => {
        const id = this.idIn(block, line);
        const cell = id === undefined ? this.emptySlot(block, line) : this.createCell(id);
        return this.setApart(cell, block);
      });
    }
    this.drawRow(one);
    one.element.append(...one.cells);
  }

  private clearRow(one: GridRow): void {
    one.isFilled = false;
    one.element.replaceChildren(one.header);
  }

  private drawRow(one: GridRow): void {
    for (const cell of one.cells) {
      const item = this.items.get(cell.dataset['id'] ?? '');
      if (item === undefined) continue;
      const before = this.drawn.get(item.id);
      if (before === item) continue;
      this.drawn.set(item.id, item);
      const fill = cell.classList.contains('plain') ? cell : cell.firstElementChild;
      if (fill instanceof HTMLElement) this.options.draw(cell, fill, item, before);
    }
  }

  /** Adds the gap before the first decoder block. */
  private setApart(element: HTMLElement, block: number): HTMLElement {
    element.classList.toggle('part-start', block === this.options.encoderBlocks);
    return element;
  }

  private idIn(block: number, line: string): string | undefined {
    return this.places.get(`${block} ${line}`);
  }

  private createCell(id: string): HTMLElement {
    const item = this.items.get(id);
    const isPlain = this.isDense && item !== undefined && this.options.isPlain?.(item) === true;
    const cell = (isPlain ? this.plainCell : this.emptyCell).cloneNode(true) as HTMLElement;
    cell.dataset['id'] = id;
    this.cellElements.set(id, cell);
    return cell;
  }

  /** Cell of an item, in the page. */
  private itemCell(id: string): HTMLElement | undefined {
    const item = this.items.get(id);
    if (item === undefined) return undefined;
    const [row, column] = [this.lines.indexOf(item.line), this.blocks.indexOf(item.block)];
    const found = this.rows[this.isAcross ? row : column];
    if (found !== undefined) this.fillRow(found);
    return this.cellElements.get(id);
  }

  private get isAcross(): boolean {
    return this.grid.dataset['orientation'] === 'across';
  }

  private emptySlot(block: number, line: string): HTMLElement {
    const { words, lost = [] } = this.options;
    const isLost = lost.some((place) => place.block === block && place.line === line);
    return isLost
      ? h('div', {
          role: 'gridcell',
          class: 'lost-slot',
          'aria-label': words.lost,
          title: words.lost,
        })
      : h('div', { role: 'gridcell', class: 'empty-slot', 'aria-label': words.nothing });
  }

  private moveTabStop(id: string | undefined): void {
    const before = this.tabStop === undefined ? undefined : this.cellElements.get(this.tabStop);
    before?.setAttribute('tabindex', '-1');
    this.tabStop = id;
    if (id !== undefined) this.itemCell(id)?.setAttribute('tabindex', '0');
  }

  private listen(): void {
    const idAt = (event: Event) => {
      const target = event.target instanceof Element ? event.target.closest('.cell') : null;
      return target instanceof HTMLElement ? target.dataset['id'] : undefined;
    };
    this.grid.addEventListener('pointerover', (event) => {
      this.hovered = idAt(event);
      this.point();
    });
    this.grid.addEventListener('pointerleave', () => {
      this.hovered = undefined;
      this.point();
    });
    this.grid.addEventListener('focusin', (event) => {
      this.focused = idAt(event);
      // The keyboard focus has moved, and takes precedence over the pointer.
      this.hovered = undefined;
      if (this.focused !== undefined) this.moveTabStop(this.focused);
      this.point();
    });
    this.grid.addEventListener('contextmenu', (event) => {
      const item = this.items.get(idAt(event) ?? '');
      const context = item && this.options.menuContext?.(item);
      if (item === undefined || context === undefined) return;
      const menu = { ...context, preventDefaultContextMenuItems: true };
      const cell = this.cellElements.get(item.id);
      cell?.setAttribute('data-vscode-context', JSON.stringify(menu));
    });
    this.grid.addEventListener('click', (event) => {
      const item = this.items.get(idAt(event) ?? '');
      if (item !== undefined) this.options.clicked(item);
    });
    this.grid.addEventListener('keydown', (event) => {
      const item = this.items.get(idAt(event) ?? '');
      if (item !== undefined && this.pressed(event, item)) event.preventDefault();
    });
  }

  /** True if the key was handled. */
  private pressed(event: KeyboardEvent, item: Item): boolean {
    if (event.altKey || event.metaKey) return false;
    if (this.options.pressed(event, item)) return true;
    const across = this.isAcross;
    const line = this.lines.indexOf(item.line);
    const block = this.blocks.indexOf(item.block);
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
    this.itemCell(id)?.focus();
    return true;
  }

  private idAt({ row, column }: Place): string | undefined {
    const line = this.lines[this.isAcross ? row : column];
    const block = this.blocks[this.isAcross ? column : row];
    return block === undefined || line === undefined ? undefined : this.idIn(block, line);
  }

  private point(): void {
    this.options.pointed(this.hovered ?? this.focused);
  }
}

function gridRow(header: HTMLElement, slots: readonly LostPlace[]): GridRow {
  return { element: row(header), header, slots, cells: [], isFilled: false };
}

function row(...children: readonly HTMLElement[]): HTMLElement {
  return h('div', { role: 'row', class: 'grid-row' }, ...children);
}
