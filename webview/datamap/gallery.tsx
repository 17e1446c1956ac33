import type { VNode } from 'preact';
import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import { orders } from '../../extension/protocol/datamap';
import type { GalleryQuery } from '../../extension/protocol/datamap';
import { Button, Checkbox, Dropdown } from '../components/controls';
import { formatCount } from '../format';
import type { Answered } from '../kit/asker';
import { useAnswer } from '../kit/use-answer';
import { ExampleCard } from './example-card';
import { strings } from './strings';
import type { DataMapPanel, ExamplePage, Overview } from './types';
import type { ShownQuery } from './view-state';

const pageSize = 24;

/** An example that is to be shown, whatever page it is on. */
export interface Sought {
  readonly index: number;
  /** Filters were cleared to show it. */
  readonly isCleared: boolean;
  /** Its page is shown, and it has had the focus. */
  readonly hasArrived: boolean;
}

interface GalleryProps {
  readonly panel: DataMapPanel;
  readonly overview: Overview;
  readonly sought: Sought | undefined;
  readonly onSought: (sought: Sought | undefined) => void;
  /** Escape was pressed on the example that was gone to. */
  readonly onBack: () => void;
}

/** The examples themselves, in pages: ordered, filtered, marked. */
export function Gallery({ panel, overview, sought, onSought, onBack }: GalleryProps): VNode {
  const query = fitting(panel.view.value.query, overview);
  const [marks, data] = [panel.get('marks'), panel.get('data')];
  const question = useQuestion(query, sought, [overview, data], marks);
  const answered = useAnswer(panel.call.examples, question);
  const grid = useRef<HTMLUListElement>(null);
  const items = answered?.ok?.items ?? [];
  const ask = (change: Partial<ShownQuery>) => {
    onSought(undefined);
    panel.setView({ query: { ...query, page: 0, ...change } });
  };
  useArrival({ panel, query, sought, onSought, answered, grid });
  useFocusKept(grid, items);
  const last = lastPage(answered?.ok);
  useEffect(() => {
    if (answered?.ok !== undefined && query.page > last) {
      panel.setView({ query: { ...query, page: last } });
    }
  }, [answered]);
  const isMarked = useMemo(() => new Set(marks), [marks]);
  const found = sought?.hasArrived === true ? sought.index : undefined;
  return (
    <section class="examples" aria-labelledby="gallery-title">
      <div class="section-head">
        <h2 id="gallery-title">{strings.gallery}</h2>
        <p class="muted" role="status" data-failed={answered?.error === undefined ? undefined : ''}>
          {statusText(answered, sought)}
        </p>
        <Filters query={query} overview={overview} onChange={ask} />
      </div>
      <ul
        ref={grid}
        class="gallery"
        aria-labelledby="gallery-title"
        onKeyDown={({ key, target }) => {
          const isFound = target instanceof Element && target.matches('[data-found]');
          if (key === 'Escape' && isFound) onBack();
        }}
      >
        {items.map((example, place) => (
          // By place: a card that goes leaves the focus to the one that comes.
          <ExampleCard
            key={place}
            example={example}
            isMarked={isMarked.has(example.index)}
            isFound={example.index === found}
            isOpening={data === undefined}
            onMark={(index, marked) => {
              panel.run.mark([index], marked);
            }}
          />
        ))}
      </ul>
      <Pager
        panel={panel}
        page={query.page}
        last={last}
        shown={items.map(({ index }) => index)}
        isMarked={isMarked}
        onTurn={(page) => {
          ask({ page });
        }}
      />
    </section>
  );
}

/** The query without what these scores do not know. */
function fitting(query: ShownQuery, overview: Overview): ShownQuery {
  const { order, label } = query;
  const isClass = label !== undefined && label < overview.classes.length;
  return {
    ...query,
    order: ordersOf(overview).includes(order) ? order : 'hardest',
    label: isClass ? label : undefined,
  };
}

/** Orders by what is known of these scores. */
function ordersOf({ mapped, suspected }: Overview): ShownQuery['order'][] {
  return orders.filter(
    (order) =>
      (order !== 'ambiguous' || mapped > 0) && (order !== 'suspicious' || suspected !== undefined),
  );
}

/** What the host is asked; the same object until something else is to be shown. */
function useQuestion(
  query: ShownQuery,
  sought: Sought | undefined,
  /** What is asked about: asked anew when it has changed. */
  about: readonly unknown[],
  marks: readonly number[],
): GalleryQuery {
  const { order, label, suspected, marked, page } = query;
  const containing = sought?.index;
  return useMemo<GalleryQuery>(
    () => ({
      ...{ order, suspected, marked, page, pageSize },
      ...(label === undefined ? {} : { label }),
      ...(containing === undefined ? {} : { containing }),
    }),
    [
      ...[order, label, suspected, marked, containing],
      // The page with an example that is sought is for the host to tell.
      containing === undefined ? page : undefined,
      ...about,
      marked ? marks : undefined,
    ],
  );
}

interface ArrivalProps {
  readonly panel: DataMapPanel;
  readonly query: ShownQuery;
  readonly sought: Sought | undefined;
  readonly onSought: (sought: Sought) => void;
  readonly answered: Answered<GalleryQuery, ExamplePage> | undefined;
  readonly grid: { readonly current: HTMLElement | null };
}

/** Goes to an example that is sought once its page is there; filters that hide it are cleared. */
function useArrival({ panel, query, sought, onSought, answered, grid }: ArrivalProps): void {
  useEffect(() => {
    if (sought === undefined || sought.hasArrived || answered?.ok === undefined) return;
    const { question, ok } = answered;
    if (question.containing !== sought.index) return;
    if (ok.place === undefined) {
      const isFiltered = query.label !== undefined || query.suspected || query.marked;
      if (!isFiltered) return;
      panel.setView({ query: { ...query, label: undefined, suspected: false, marked: false } });
      onSought({ ...sought, isCleared: true });
      return;
    }
    panel.setView({ query: { ...query, page: ok.page } });
    onSought({ ...sought, hasArrived: true });
    const card = grid.current?.querySelector<HTMLElement>(`[data-index="${sought.index}"]`);
    card?.focus({ preventScroll: true });
    card?.scrollIntoView({ block: 'center' });
  }, [sought, answered]);
}

/** The last card that goes gives its focus to the one before it, or to the filters where none is left. */
function useFocusKept(
  grid: { readonly current: HTMLElement | null },
  items: ExamplePage['items'],
): void {
  const hadFocus = useRef(false);
  hadFocus.current = grid.current?.contains(document.activeElement) ?? false;
  useLayoutEffect(() => {
    if (!hadFocus.current || grid.current?.contains(document.activeElement) !== false) return;
    const next = [...grid.current.querySelectorAll('button')].at(-1);
    const filter = document.querySelector<HTMLElement>('.examples vscode-checkbox:last-of-type');
    (next ?? filter)?.focus();
  }, [items]);
}

function lastPage(page: ExamplePage | undefined): number {
  return page === undefined ? 0 : Math.max(0, Math.ceil(page.total / pageSize) - 1);
}

function statusText(
  answered: Answered<GalleryQuery, ExamplePage> | undefined,
  sought: Sought | undefined,
): string {
  if (answered?.ok === undefined) return answered?.error ?? '';
  const { items, total, page, place } = answered.ok;
  if (sought?.hasArrived === true && place !== undefined) {
    const name = strings.point(formatCount(sought.index));
    const where = strings.place(name, formatCount(place + 1), formatCount(total));
    return sought.isCleared ? `${where} ${strings.filtersCleared}` : where;
  }
  if (total === 0) return strings.foundNone;
  const first = page * pageSize;
  return strings.found(
    formatCount(first + 1),
    formatCount(first + items.length),
    formatCount(total),
  );
}

interface FiltersProps {
  readonly query: ShownQuery;
  readonly overview: Overview;
  readonly onChange: (change: Partial<ShownQuery>) => void;
}

const every = 'every';

function Filters({ query, overview, onChange }: FiltersProps): VNode {
  const names = overview.classes.map(({ name }, i) => ({ value: String(i), label: name }));
  return (
    <div class="controls">
      <Dropdown
        label={strings.order}
        options={ordersOf(overview).map((value) => ({ value, label: strings.orderName[value] }))}
        value={query.order}
        onChange={(order) => {
          onChange({ order });
        }}
      />
      {names.length > 0 && (
        <Dropdown
          label={strings.classFilter}
          options={[{ value: every, label: strings.everyClass }, ...names]}
          value={query.label === undefined ? every : String(query.label)}
          onChange={(value) => {
            onChange({ label: value === every ? undefined : Number(value) });
          }}
        />
      )}
      {overview.suspected !== undefined && (
        <Checkbox
          label={strings.suspectedOnly}
          checked={query.suspected}
          onChange={(suspected) => {
            onChange({ suspected });
          }}
        />
      )}
      <Checkbox
        label={strings.markedOnly}
        checked={query.marked}
        onChange={(marked) => {
          onChange({ marked });
        }}
      />
    </div>
  );
}

interface PagerProps {
  readonly panel: DataMapPanel;
  readonly page: number;
  readonly last: number;
  /** Indices of the examples of the page. */
  readonly shown: readonly number[];
  readonly isMarked: ReadonlySet<number>;
  readonly onTurn: (page: number) => void;
}

function Pager({ panel, page, last, shown, isMarked, onTurn }: PagerProps): VNode {
  const areAllMarked = shown.length > 0 && shown.every((index) => isMarked.has(index));
  return (
    <div class="pager" role="group" aria-label={strings.pages}>
      <Button
        label={strings.previous}
        reason={page === 0 ? strings.firstPage : undefined}
        onClick={() => {
          onTurn(page - 1);
        }}
      />
      <Button
        label={strings.next}
        reason={page >= last ? strings.lastPage : undefined}
        onClick={() => {
          onTurn(page + 1);
        }}
      />
      <Button
        label={areAllMarked ? strings.unmarkShown : strings.markShown}
        title={strings.markTitle}
        reason={shown.length === 0 ? strings.foundNone : undefined}
        onClick={() => {
          panel.run.mark(shown, !areAllMarked);
        }}
      />
      <span class="muted">{strings.markedCount(formatCount(isMarked.size))}</span>
    </div>
  );
}
