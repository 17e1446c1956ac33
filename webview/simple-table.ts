import { h } from './dom';

/** A cell: text, or an element of its own. */
export type CellContent = string | HTMLElement;

export interface Column {
  readonly title: string;
  /** Numbers stand to the right. */
  readonly isNumber?: boolean;
}

/** A plain table; the first cell of each row is its heading. */
function simpleTable(
  caption: string,
  columns: readonly Column[],
  rows: readonly (readonly CellContent[])[],
): HTMLElement {
  const classOf = (index: number) => (columns[index]?.isNumber === true ? 'number' : undefined);
  return h(
    'table',
    { class: 'plain' },
    h('caption', { class: 'sr-only' }, caption),
    h(
      'thead',
      {},
      h(
        'tr',
        {},
        ...columns.map(({ title }, index) =>
          h('th', { scope: 'col', class: classOf(index) }, title),
        ),
      ),
    ),
    h(
      'tbody',
      {},
      ...rows.map(([first = '', ...others]) =>
        h(
          'tr',
          {},
          h('th', { scope: 'row', class: classOf(0) }, first),
          ...others.map((cell, index) => h('td', { class: classOf(index + 1) }, cell)),
        ),
      ),
    ),
  );
}

/** A table that scrolls by itself where it is too long. */
export function scrollingTable(
  caption: string,
  columns: readonly Column[],
  rows: readonly (readonly CellContent[])[],
): HTMLElement {
  return h(
    'div',
    { class: 'table-scroll short', tabindex: 0, role: 'region', 'aria-label': caption },
    simpleTable(caption, columns, rows),
  );
}

/** Something that is folded until asked for. */
export function folded(
  title: string,
  open: boolean,
  ...content: readonly HTMLElement[]
): HTMLElement {
  return h('details', { class: 'folded', open }, h('summary', {}, title), ...content);
}

export function section(id: string, title: string, ...content: readonly Node[]): HTMLElement {
  return h(
    'section',
    { 'aria-labelledby': id },
    h('div', { class: 'section-head' }, h('h2', { id }, title)),
    ...content,
  );
}
