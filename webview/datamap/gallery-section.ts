import type { GalleryQuery } from '../../extension/protocol/datamap';
import { createButton, createCheckbox, createDropdown, setChecked } from '../components/toolkit';
import type { Choices } from '../components/toolkit';
import { h, setAttribute, setChildren, setText } from '../dom';
import { formatCount } from '../format';
import { createCard } from './example-card';
import type { ExampleCard } from './example-card';
import { strings } from './strings';
import type { ExamplePage, Overview, Send } from './types';
import { orders } from './view-state';

export interface GallerySection {
  readonly element: HTMLElement;
  show(overview: Overview): void;
  setPage(query: GalleryQuery, page: ExamplePage): void;
  setMarks(marks: readonly number[]): void;
  /** Shows the page with an example and moves the focus to it; filters that hide it are cleared. */
  goTo(index: number): void;
  fail(message: string): void;
}

const every = 'every';

export interface GalleryActions {
  readonly send: Send;
  /** Something else is looked at. */
  readonly changed: (query: GalleryQuery) => void;
  /** Escape was pressed on the example that was gone to. */
  readonly back: () => void;
}

/** The examples themselves, in pages: ordered, filtered, marked. */
export function createGallerySection(
  initial: GalleryQuery,
  { send, changed, back }: GalleryActions,
): GallerySection {
  let query = initial;
  let found: number | undefined;
  /** Filters were cleared to show what was looked for. */
  let isCleared = false;
  let cards: readonly ExampleCard[] = [];
  let marks: ReadonlySet<number> = new Set();
  const status = h('p', { class: 'muted', role: 'status' });
  const grid = h('ul', { class: 'gallery', 'aria-labelledby': 'gallery-title' });
  const markCount = h('span', { class: 'muted' });

  const ask = (change: Partial<GalleryQuery>) => {
    query = { ...query, page: 0, ...change };
    found = undefined;
    changed(query);
    send({ type: 'examples', query });
  };
  const mark = (indices: readonly number[], marked: boolean) => {
    send({ type: 'mark', indices, marked });
  };
  grid.addEventListener('keydown', ({ key, target }) => {
    if (key === 'Escape' && target instanceof Element && target.matches('[data-found]')) back();
  });
  const order = h('span');
  const classes = h('span');
  const suspected = createCheckbox(strings.suspectedOnly, query.suspected, (checked) => {
    if (checked !== query.suspected) ask({ suspected: checked });
  });
  const marked = createCheckbox(strings.markedOnly, query.marked, (checked) => {
    if (checked !== query.marked) ask({ marked: checked });
  });
  const markShown = createButton(strings.markShown, false, () => {
    const shown = cards.map(({ index }) => index);
    mark(shown, !shown.every((index) => marks.has(index)));
  });
  const previous = createButton(strings.previous, false, () => {
    ask({ page: query.page - 1 });
  });
  const next = createButton(strings.next, false, () => {
    ask({ page: query.page + 1 });
  });

  let classFilter: Choices<string> | undefined;
  const clearFilters = () => {
    query = { ...withClass(query, undefined), suspected: false, marked: false };
    isCleared = true;
    classFilter?.setValue(every);
    setChecked(suspected, false);
    setChecked(marked, false);
  };
  const isFiltered = () => query.label !== undefined || query.suspected || query.marked;

  /** Where the example is that was looked for, or where it is not. */
  const arrive = (index: number, { page, place, total }: ExamplePage) => {
    if (place === undefined) {
      if (!isFiltered()) return;
      clearFilters();
      send({ type: 'examples', query: { ...query, containing: index } });
      return;
    }
    query = { ...query, page };
    changed(query);
    found = index;
    const name = strings.point(formatCount(index));
    const where = strings.place(name, formatCount(place + 1), formatCount(total));
    setText(status, isCleared ? `${where} ${strings.filtersCleared}` : where);
    const card = cards.find((one) => one.index === index)?.element;
    card?.focus({ preventScroll: true });
    card?.scrollIntoView({ block: 'center' });
  };

  const drawMarks = () => {
    for (const card of cards) {
      card.setMarked(marks.has(card.index));
      card.setFound(card.index === found);
    }
    const all = cards.length > 0 && cards.every(({ index }) => marks.has(index));
    markShown.setLabel(all ? strings.unmarkShown : strings.markShown);
    markShown.setState(cards.length === 0 ? strings.foundNone : undefined, strings.markTitle);
    setText(markCount, strings.markedCount(formatCount(marks.size)));
  };

  return {
    element: h(
      'section',
      { class: 'examples', 'aria-labelledby': 'gallery-title' },
      h(
        'div',
        { class: 'section-head' },
        h('h2', { id: 'gallery-title' }, strings.gallery),
        status,
        h('div', { class: 'controls' }, order, classes, suspected, marked),
      ),
      grid,
      h(
        'div',
        { class: 'pager', role: 'group', 'aria-label': strings.pages },
        previous.element,
        next.element,
        markShown.element,
        markCount,
      ),
    ),
    show: (overview) => {
      const known = ordersOf(overview);
      query = { ...query, order: known.find((one) => one === query.order) ?? 'hardest' };
      const sorting = createDropdown(
        strings.order,
        known.map((value) => ({ value, label: strings.orderName[value] })),
        query.order,
        (value) => {
          ask({ order: value });
        },
      );
      setChildren(order, [sorting.element]);
      const names = overview.classes.map(({ name }, i) => ({ value: String(i), label: name }));
      if (query.label !== undefined && query.label >= names.length) {
        query = withClass(query, undefined);
      }
      const filter = createDropdown(
        strings.classFilter,
        [{ value: every, label: strings.everyClass }, ...names],
        query.label === undefined ? every : String(query.label),
        (value) => {
          query = withClass(query, value === every ? undefined : Number(value));
          ask({});
        },
      );
      classFilter = filter;
      setChildren(classes, names.length === 0 ? [] : [filter.element]);
      suspected.hidden = overview.suspected === undefined;
      ask({ page: query.page });
    },
    setPage: ({ pageSize, containing }, answer) => {
      const { items, total, page, place } = answer;
      const last = Math.max(0, Math.ceil(total / pageSize) - 1);
      if (containing !== undefined && place === undefined) {
        arrive(containing, answer);
        return;
      }
      if (page > last) {
        ask({ page: last });
        return;
      }
      status.removeAttribute('data-failed');
      setText(
        status,
        total === 0
          ? strings.foundNone
          : strings.found(
              formatCount(page * pageSize + 1),
              formatCount(page * pageSize + items.length),
              formatCount(total),
            ),
      );
      const focused = cards.findIndex(({ element }) => element.contains(document.activeElement));
      cards = items.map((example) =>
        createCard(example, (index, isMarked) => {
          mark([index], isMarked);
        }),
      );
      setChildren(
        grid,
        cards.map(({ element }) => element),
      );
      if (focused >= 0) {
        // A card that has gone, as one that is no longer marked, gives the focus to the next.
        const next = cards[Math.min(focused, cards.length - 1)]?.element.querySelector('button');
        (next ?? marked).focus();
      }
      setAttribute(previous.element, 'disabled', page === 0);
      setAttribute(next.element, 'disabled', page >= last);
      if (containing !== undefined) arrive(containing, answer);
      drawMarks();
    },
    setMarks: (known) => {
      marks = new Set(known);
      drawMarks();
      if (query.marked) send({ type: 'examples', query });
    },
    goTo: (index) => {
      isCleared = false;
      send({ type: 'examples', query: { ...query, containing: index } });
    },
    fail: (message) => {
      cards = [];
      setChildren(grid, []);
      setText(status, message);
      setAttribute(status, 'data-failed', true);
      drawMarks();
    },
  };
}

/** Orders by what is known of these scores. */
function ordersOf({ mapped, suspected }: Overview): GalleryQuery['order'][] {
  return orders.filter(
    (order) =>
      (order !== 'ambiguous' || mapped > 0) && (order !== 'suspicious' || suspected !== undefined),
  );
}

/** The query for another class, or for all. */
function withClass(query: GalleryQuery, label: number | undefined): GalleryQuery {
  const { order, suspected, marked, page, pageSize } = query;
  const rest = { order, suspected, marked, page, pageSize };
  return label === undefined ? rest : { ...rest, label };
}
