import type { VNode } from 'preact';
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { GalleryQuery } from '../../extension/protocol/datamap';
import type { Answered } from '../kit/asker';
import { useAnswer } from '../kit/use-answer';
import { Details } from './details';
import { ExampleCard } from './example-card';
import { Filters } from './filters';
import { fitting, isFiltered, unfiltered, useQuestion } from './gallery-query';
import type { Region } from './gallery-query';
import { Pager } from './pager';
import { lastPage, statusText } from './status-text';
import { strings } from './strings';
import type { DataMapPanel, ExamplePage, Overview, Sought } from './types';
import type { ShownQuery } from './view-state';

interface GalleryProps {
  readonly panel: DataMapPanel;
  readonly overview: Overview;
  /** The part of a map that the examples are of. */
  readonly region: Region | undefined;
  readonly onLeaveRegion: () => void;
  readonly sought: Sought | undefined;
  readonly onSought: (sought: Sought | undefined) => void;
  /** Called when Escape is pressed on the focused example. */
  readonly onBack: () => void;
}

/** The examples themselves, in pages: ordered, filtered, marked. */
export function Gallery(props: GalleryProps): VNode {
  const { panel, overview, region, onLeaveRegion, sought, onSought, onBack } = props;
  const view = panel.view.value;
  const query = fitting(view.query, overview);
  const [marks, relabeled, data] = [panel.get('marks'), panel.get('relabeled'), panel.get('data')];
  const question = useQuestion({
    ...{ query, region, marks, relabeled, similarity: view.similarity },
    containing: sought?.index,
    about: [overview, data],
  });
  const answered = useAnswer(panel.call.examples, question);
  const [detailed, setDetailed] = useState<number>();
  const grid = useRef<HTMLUListElement>(null);
  const items = answered?.ok?.items ?? [];
  const ask = (change: Partial<ShownQuery>) => {
    onSought(undefined);
    panel.setView({ query: { ...query, page: 0, ...change } });
  };
  useArrival({ panel, query, region, onLeaveRegion, sought, onSought, answered, grid });
  useFocusKept(grid, items);
  const last = lastPage(answered?.ok);
  useEffect(() => {
    if (answered?.ok !== undefined && query.page > last) {
      panel.setView({ query: { ...query, page: last } });
    }
  }, [answered]);
  const isMarked = useMemo(() => new Set(marks), [marks]);
  const newLabels = useMemo(
    () => new Map(relabeled.map(({ index, label }) => [index, label])),
    [relabeled],
  );
  const found = sought?.hasArrived === true ? sought.index : undefined;
  return (
    <section class="examples" aria-labelledby="gallery-title">
      <div class="section-head">
        <h2 id="gallery-title">{strings.gallery}</h2>
        <p class="muted" role="status" data-failed={answered?.error === undefined ? undefined : ''}>
          {statusText(answered, sought)}
        </p>
        <Filters
          {...{ query, overview, region, onLeaveRegion }}
          similarity={view.similarity}
          onChange={ask}
          onSimilarity={(similarity) => {
            onSought(undefined);
            panel.setView({ similarity, query: { ...query, page: 0 } });
          }}
        />
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
          // By position: a removed card passes its focus to the card that replaces it.
          <ExampleCard
            key={place}
            example={example}
            isMarked={isMarked.has(example.index)}
            isFound={example.index === found}
            isOpening={data === undefined}
            newLabel={newLabels.get(example.index)}
            classes={overview.classes}
            onMark={(index, marked) => {
              panel.run.mark([index], marked);
            }}
            onRelabel={(index, label) => {
              panel.run.relabel([{ index, ...(label === undefined ? {} : { label }) }]);
            }}
            onDetails={setDetailed}
          />
        ))}
      </ul>
      <Pager
        panel={panel}
        page={query.page}
        last={last}
        items={items}
        isMarked={isMarked}
        onTurn={(page) => {
          ask({ page });
        }}
      />
      {detailed !== undefined && (
        <Details
          panel={panel}
          index={detailed}
          onGo={setDetailed}
          onSimilar={(similarTo) => {
            setDetailed(undefined);
            onLeaveRegion();
            ask({ ...unfiltered(query), similarTo });
          }}
          onClose={() => {
            setDetailed(undefined);
            grid.current
              ?.querySelector<HTMLElement>(`[data-index="${detailed}"] .details-button`)
              ?.focus();
          }}
        />
      )}
    </section>
  );
}

interface ArrivalProps extends Pick<GalleryProps, 'panel' | 'region' | 'onLeaveRegion'> {
  readonly query: ShownQuery;
  readonly sought: Sought | undefined;
  readonly onSought: (sought: Sought) => void;
  readonly answered: Answered<GalleryQuery, ExamplePage> | undefined;
  readonly grid: { readonly current: HTMLElement | null };
}

/** Goes to an example that is sought once its page is there; filters that hide it are cleared. */
function useArrival(props: ArrivalProps): void {
  const { panel, query, region, onLeaveRegion, sought, onSought, answered, grid } = props;
  useEffect(() => {
    if (sought === undefined || sought.hasArrived || answered?.ok === undefined) return;
    const { question, ok } = answered;
    if (question.containing !== sought.index) return;
    if (ok.place === undefined) {
      if (!isFiltered(query, region)) return;
      onLeaveRegion();
      panel.setView({ query: unfiltered(query) });
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

/** When the last card is removed, the focus moves to the previous one, or to the filters if none is left. */
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
