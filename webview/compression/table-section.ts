import { paletteColor } from '../charts/palette';
import { h, setChildren } from '../dom';
import { formatBytes, formatCount, formatDistance, formatPercent } from '../format';
import { section } from '../simple-table';
import { createSortHeader, sortBy } from '../sort-header';
import { timeText } from './cell-text';
import { isOuter, roleName } from './cells';
import type { CellSet, LayerCell } from './cells';
import type { Frame, PanelActions, PanelPart } from './panel-part';
import { sorted, sortKeys } from './rows';
import type { SortKey } from './rows';
import { strings } from './strings';

const TEXTS: ReadonlySet<SortKey> = new Set(['tensor', 'role', 'level']);

/** Every linear layer as a line, sorted as the user likes. */
export function createTableSection({ setView }: PanelActions): PanelPart {
  let frame: Frame | undefined;
  let drawn: readonly [CellSet, Frame['view']['sort']] | undefined;
  const headers = sortKeys.map((key) =>
    createSortHeader(key, strings.column[key], !TEXTS.has(key), () => {
      if (frame !== undefined) setView({ sort: sortBy(frame.view.sort, key) });
    }),
  );
  const body = h('tbody');
  const element = section(
    'table-title',
    strings.table,
    h(
      'div',
      { class: 'table-scroll', tabindex: 0, role: 'region', 'aria-label': strings.table },
      h(
        'table',
        {},
        h('caption', { class: 'sr-only' }, strings.tableCaption),
        h('thead', {}, h('tr', {}, ...headers.map((header) => header.element))),
        body,
      ),
    ),
  );
  element.classList.add('candidates');
  return {
    element,
    update: (next) => {
      frame = next;
      const { cells, view } = next;
      element.hidden = cells === undefined;
      if (cells === undefined || (drawn?.[0] === cells && drawn[1] === view.sort)) return;
      drawn = [cells, view.sort];
      const isTimed = cells.cells.some(({ layer }) => layer.milliseconds > 0);
      element.classList.toggle('untimed', !isTimed);
      for (const header of headers) header.update(view.sort);
      setChildren(
        body,
        sorted(cells.cells, view.sort).map((cell) => rowOf(cell, cells)),
      );
    },
  };
}

function rowOf(cell: LayerCell, { scale }: CellSet): HTMLElement {
  const { layer, entry, loss, status, drawbacks } = cell;
  const number = (text: string) => h('td', { class: 'number' }, text);
  const swatch = h('span', { class: 'swatch', 'aria-hidden': 'true' });
  swatch.hidden = loss === undefined;
  if (loss !== undefined) swatch.style.backgroundColor = paletteColor(scale?.position(loss) ?? 0);
  const level =
    entry !== undefined
      ? `${strings.method(entry.method)}, ${strings.level(entry.method, entry.level)}`
      : status === 'kept'
        ? strings.rowKept
        : status === 'removed'
          ? strings.rowRemoved
          : strings.none;
  const share = (value: number | undefined) =>
    value === undefined ? strings.none : formatPercent(value);
  return h(
    'tr',
    {},
    h('th', { scope: 'row' }, layer.tensor),
    h('td', {}, roleName(layer)),
    number(isOuter(layer) ? strings.none : formatCount(layer.block)),
    h('td', {}, level),
    h('td', { class: 'number' }, swatch, loss === undefined ? strings.none : formatDistance(loss)),
    number(share(entry?.error)),
    number(share(entry?.outputError)),
    number(formatBytes(layer.bytes)),
    h(
      'td',
      { class: 'number', title: drawbacks.map(strings.drawback).join(', ') || undefined },
      ...(drawbacks.includes('bytes')
        ? [h('span', { class: 'drawback' }, strings.drawback('bytes')), ' ']
        : []),
      entry === undefined ? strings.none : formatBytes(entry.bytes),
    ),
    number(timeText(layer.milliseconds, entry?.milliseconds)),
  );
}
