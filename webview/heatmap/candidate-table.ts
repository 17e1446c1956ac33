import { paletteColor } from '../charts/palette';
import { createDropdown, createTextField } from '../components/toolkit';
import { h, setAttribute, setChildren, setText } from '../dom';
import { formatBytes, formatCompact, formatCount } from '../format';
import { lockIcon } from '../icons';
import { createSortHeader, sortBy } from '../sort-header';
import { strings } from '../strings';
import type { SortKey } from './candidate-rows';
import { filterFor, rowsOf, sortKeys } from './candidate-rows';
import { distanceText, unitName } from './cell-text';
import type { Cell, CellSet } from './cells';
import type { Frame, PanelActions, PanelPart } from './panel-part';
import { kindsOf } from './kinds';
import { nextMark } from './selection';
import type { SublayerKind } from './types';
import type { View } from './view-state';

const NUMBERS: ReadonlySet<SortKey> = new Set(['block', 'distance', 'rank', 'parameters', 'bytes']);

interface Row {
  readonly element: HTMLTableRowElement;
  update(cell: Cell, cells: CellSet): void;
}

/** Every sublayer as a line that can be sorted and filtered, with a button that changes its mark. */
export function createCandidateTable(actions: PanelActions): PanelPart {
  const { setView } = actions;
  let frame: Frame | undefined;
  const headers = sortKeys.map((key) =>
    createSortHeader(key, strings.column[key], NUMBERS.has(key), () => {
      if (frame !== undefined) setView({ sort: sortBy(frame.view.sort, key) });
    }),
  );
  const body = h('tbody');
  const count = h('p', { class: 'muted' });
  const filters = h('div', { class: 'controls' });
  let filterKinds: readonly SublayerKind[] | undefined;
  const none = h('p', { class: 'muted', hidden: true }, strings.noRows);
  const rows = new Map<string, Row>();
  const rowOf = (cell: Cell): Row => {
    const id = cell.sublayer.id;
    const known = rows.get(id);
    if (known !== undefined) return known;
    const row = createRow(cell, () => {
      const mark = frame?.cells.byId.get(id)?.mark ?? 'keep';
      actions.choose({ type: 'setMark', sublayer: id, mark: nextMark(mark) });
    });
    rows.set(id, row);
    return row;
  };
  const changeFilter = (change: Partial<View['filter']>) => {
    if (frame !== undefined) setView({ filter: { ...frame.view.filter, ...change } });
  };

  return {
    element: h(
      'section',
      { class: 'candidates', 'aria-labelledby': 'table-title' },
      h(
        'div',
        { class: 'section-head' },
        h('h2', { id: 'table-title' }, strings.table),
        count,
        filters,
      ),
      h(
        'div',
        { class: 'table-scroll', tabindex: 0, role: 'region', 'aria-label': strings.tableRegion },
        h(
          'table',
          { class: 'candidate-table' },
          h('caption', { class: 'sr-only' }, strings.tableCaption),
          h('thead', {}, h('tr', {}, ...headers.map((header) => header.element))),
          body,
        ),
        none,
      ),
    ),
    update: (next) => {
      frame = next;
      const { cells } = next.cells;
      const kinds = kindsOf(cells.map(({ sublayer }) => sublayer));
      const filter = filterFor(next.view.filter, kinds);
      if (filterKinds?.join() !== kinds.join()) {
        filterKinds = kinds;
        setChildren(filters, createFilters(filter, kinds, changeFilter));
      }
      const shown = rowsOf(cells, filter, next.view.sort);
      for (const header of headers) header.update(next.view.sort);
      for (const cell of shown) rowOf(cell).update(cell, next.cells);
      const focused = document.activeElement;
      setChildren(
        body,
        shown.map((cell) => rowOf(cell).element),
      );
      if (focused instanceof HTMLElement && focused !== document.activeElement) focused.focus();
      setText(count, strings.rowsShown(shown.length, cells.length));
      none.hidden = shown.length > 0;
    },
  };
}

function createFilters(
  filter: View['filter'],
  kinds: readonly SublayerKind[],
  change: (change: Partial<View['filter']>) => void,
): HTMLElement[] {
  const text = createTextField(strings.filterText, filter.text, (value) => {
    change({ text: value });
  });
  const kind = createDropdown(
    strings.filterKind,
    [
      { value: 'all', label: strings.allKinds } as const,
      ...kinds.map((value) => ({ value, label: strings.kind(value) })),
    ],
    filter.kind,
    (value) => {
      change({ kind: value });
    },
  );
  const mark = createDropdown(
    strings.filterMark,
    [
      { value: 'all', label: strings.allMarks },
      { value: 'keep', label: strings.markFilter.keep },
      { value: 'removed', label: strings.markFilter.removed },
      { value: 'protected', label: strings.markFilter.protected },
    ] as const,
    filter.mark,
    (value) => {
      change({ mark: value });
    },
  );
  return [text, kind.element, mark.element];
}

function createRow({ sublayer }: Cell, onMark: () => void): Row {
  const swatch = h('span', { class: 'swatch', 'aria-hidden': 'true' });
  const distance = h('span');
  const rank = h('td', { class: 'number' });
  const lock = lockIcon();
  const markText = h('span');
  const mark = h('button', { type: 'button', class: 'mark-button' }, lock, markText);
  mark.addEventListener('click', onMark);
  const element = h(
    'tr',
    {},
    h('th', { scope: 'row' }, sublayer.id),
    h('td', {}, unitName(sublayer)),
    h('td', { class: 'number' }, formatCount(sublayer.block)),
    h('td', { class: 'number' }, swatch, distance),
    rank,
    h(
      'td',
      { class: 'number', title: formatCount(sublayer.parameters) },
      formatCompact(sublayer.parameters),
    ),
    h('td', { class: 'number' }, formatBytes(sublayer.bytes)),
    h('td', {}, mark),
  );
  return {
    element,
    update: (cell, { distances }) => {
      const value = cell.distance ?? cell.atLeast;
      swatch.hidden = value === undefined || distances === undefined;
      if (value !== undefined && distances !== undefined) {
        swatch.style.backgroundColor = paletteColor(distances.position(value));
      }
      setText(distance, distanceText(cell));
      setText(rank, cell.rank === undefined ? strings.notYet : formatCount(cell.rank));
      setAttribute(element, 'data-mark', cell.mark);
      setAttribute(lock, 'hidden', cell.mark !== 'protected');
      const text = strings.markButton(cell.mark, cell.order);
      setText(markText, text);
      setAttribute(mark, 'aria-label', strings.markButtonLabel(text, sublayer.id));
      setAttribute(mark, 'title', strings.nextMark[cell.mark]);
    },
  };
}
