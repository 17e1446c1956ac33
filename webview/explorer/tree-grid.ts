import { h, setAttribute, setChildren, setText } from '../dom';
import { formatBytes, formatCompact, formatCount } from '../format';
import { strings } from './strings';
import type { TreeNode, VisibleRow } from './tree-model';

/** What the tree tells. */
export interface TreeEvents {
  readonly select: (node: TreeNode) => void;
  readonly toggle: (node: TreeNode, expanded: boolean) => void;
  /** Enter, Space or a double click on a tensor. */
  readonly activate: (node: TreeNode) => void;
}

/** Rows drawn at first, and with every step that more are asked for. */
const pageRows = 800;

interface Row {
  readonly element: HTMLTableRowElement;
  update(row: VisibleRow, selected: boolean, reachable: boolean): void;
}

/** A table whose rows open and close (WAI-ARIA treegrid): one stop of the Tab key, arrows inside. */
export class TreeGrid {
  public readonly element: HTMLElement;
  private readonly body = h('tbody');
  private readonly none = h('p', { class: 'muted', hidden: true }, strings.nothingFound);
  private readonly more = h('button', { type: 'button', class: 'more', hidden: true });
  private readonly rows = new Map<string, Row>();
  private visible: readonly VisibleRow[] = [];
  private selected: string | undefined;
  private limit = pageRows;

  public constructor(private readonly events: TreeEvents) {
    const { column } = strings;
    const heading = (text: string, isNumber: boolean) =>
      h('th', { scope: 'col', role: 'columnheader', class: isNumber ? 'number' : undefined }, text);
    const table = h(
      'table',
      { role: 'treegrid', class: 'tree', 'aria-label': strings.treeLabel },
      h(
        'thead',
        {},
        h(
          'tr',
          { role: 'row' },
          heading(column.name, false),
          heading(column.dtype, false),
          heading(column.shape, false),
          heading(column.parameters, true),
          heading(column.bytes, true),
          heading(column.flops, true),
          heading(column.kv, true),
        ),
      ),
      this.body,
    );
    this.element = h('div', { class: 'table-scroll tree-scroll' }, table, this.more, this.none);
    this.body.addEventListener('keydown', (event) => {
      this.onKey(event);
    });
    this.body.addEventListener('focusin', (event) => {
      const node = this.nodeOf(event.target);
      if (node !== undefined && node.id !== this.selected) events.select(node);
    });
    this.body.addEventListener('click', (event) => {
      const row = this.rowOf(event.target);
      if (row !== undefined && row.node.children.length > 0) {
        events.toggle(row.node, !row.expanded);
      }
    });
    this.body.addEventListener('dblclick', (event) => {
      const node = this.nodeOf(event.target);
      if (node?.tensor !== undefined) events.activate(node);
    });
    this.more.addEventListener('click', () => {
      this.limit += pageRows;
      this.draw();
    });
  }

  public show(visible: readonly VisibleRow[], selected: string | undefined): void {
    this.visible = visible;
    this.selected = selected;
    this.draw();
  }

  /** Brings a row into view, with as many rows as that takes. */
  public scrollTo(id: string): void {
    const index = this.visible.findIndex(({ node }) => node.id === id);
    if (index >= this.limit) {
      this.limit = pageRows * Math.ceil((index + 1) / pageRows);
      this.draw();
    }
    this.elementOf(id)?.scrollIntoView({ block: 'nearest' });
  }

  /** Forgets the rows of a model that is no longer shown. */
  public reset(): void {
    this.rows.clear();
    this.limit = pageRows;
  }

  private draw(): void {
    const shown = this.visible.slice(0, this.limit);
    const isShown = shown.some(({ node }) => node.id === this.selected);
    const focused = this.body.contains(document.activeElement);
    const elements = shown.map((row, index) => {
      const drawn = this.rows.get(row.node.id) ?? createRow(row.node);
      this.rows.set(row.node.id, drawn);
      const isSelected = row.node.id === this.selected;
      drawn.update(row, isSelected, isShown ? isSelected : index === 0);
      return drawn.element;
    });
    setChildren(this.body, elements);
    if (focused && isShown) this.elementOf(this.selected)?.focus();
    const left = this.visible.length - shown.length;
    this.more.hidden = left === 0;
    setText(this.more, strings.more(formatCount(left)));
    this.none.hidden = this.visible.length > 0;
  }

  private onKey(event: KeyboardEvent): void {
    const index = this.visible.findIndex(({ node }) => node.id === this.selected);
    const row = this.visible[index];
    if (row === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    const { node, expanded } = row;
    const last = Math.min(this.visible.length, this.limit) - 1;
    const hasChildren = node.children.length > 0;
    const actions: Readonly<Record<string, () => void>> = {
      ArrowDown: () => {
        this.focus(Math.min(index + 1, last));
      },
      ArrowUp: () => {
        this.focus(Math.max(index - 1, 0));
      },
      PageDown: () => {
        this.focus(Math.min(index + 20, last));
      },
      PageUp: () => {
        this.focus(Math.max(index - 20, 0));
      },
      Home: () => {
        this.focus(0);
      },
      End: () => {
        this.focus(last);
      },
      ArrowRight: () => {
        if (hasChildren && expanded) this.focus(index + 1);
        else if (hasChildren) this.events.toggle(node, true);
      },
      ArrowLeft: () => {
        if (hasChildren && expanded) this.events.toggle(node, false);
        else if (node.parent !== undefined) this.elementOf(node.parent.id)?.focus();
      },
      Enter: () => {
        this.activate(row);
      },
      ' ': () => {
        this.activate(row);
      },
    };
    const action = actions[event.key];
    if (action !== undefined) {
      event.preventDefault();
      action();
    }
  }

  private activate({ node, expanded }: VisibleRow): void {
    if (node.tensor === undefined) this.events.toggle(node, !expanded);
    else this.events.activate(node);
  }

  private focus(index: number): void {
    this.elementOf(this.visible[index]?.node.id)?.focus();
  }

  private elementOf(id: string | undefined): HTMLElement | undefined {
    return id === undefined ? undefined : this.rows.get(id)?.element;
  }

  private rowOf(target: EventTarget | null): VisibleRow | undefined {
    const element = target instanceof Element ? target.closest('tr') : undefined;
    const id = element?.getAttribute('data-id');
    return this.visible.find(({ node }) => node.id === id);
  }

  private nodeOf(target: EventTarget | null): TreeNode | undefined {
    return this.rowOf(target)?.node;
  }
}

function createRow(node: TreeNode): Row {
  const number = (text: string, title?: string) =>
    h('td', { role: 'gridcell', class: 'number', title }, text);
  const isTensor = node.tensor !== undefined;
  const optional = (value: number | undefined, format: (value: number) => string): string =>
    value === undefined || value === 0
      ? isTensor || value === 0
        ? ''
        : strings.unknown
      : format(value);
  const twisty = h('span', { class: 'twisty', 'aria-hidden': 'true' });
  const element = h(
    'tr',
    { role: 'row', 'data-id': node.id, 'data-kind': node.kind, 'aria-level': node.level },
    h(
      'th',
      { scope: 'row', role: 'rowheader', class: `level-${node.level}`, title: node.tensor?.name },
      twisty,
      node.label,
    ),
    h('td', { role: 'gridcell' }, node.dtype),
    h('td', { role: 'gridcell' }, node.shape),
    number(formatCompact(node.parameters), formatCount(node.parameters)),
    number(formatBytes(node.bytes), formatCount(node.bytes)),
    number(optional(node.flopsPerToken, formatCompact)),
    number(optional(node.kvBytesPerToken, formatBytes)),
  );
  return {
    element,
    update: ({ expanded, position, siblings }, selected, reachable) => {
      setAttribute(element, 'aria-posinset', position);
      setAttribute(element, 'aria-setsize', siblings);
      setAttribute(element, 'aria-selected', String(selected));
      if (!isTensor) setAttribute(element, 'aria-expanded', String(expanded));
      setAttribute(element, 'tabindex', reachable ? 0 : -1);
    },
  };
}
