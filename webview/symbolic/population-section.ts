import type { Direction } from '../charts/point-walk';
import { directions, nextPlace } from '../charts/point-walk';
import { createDropdown } from '../components/toolkit';
import { h, setAttribute, setChildren, setText } from '../dom';
import { formatCount, formatPercent } from '../format';
import { drawGraph } from '../graph/graph-svg';
import { section } from '../simple-table';
import { membersOf, orders } from './population';
import type { Member, Order } from './population';
import { strings } from './strings';
import type { Evolution, Place } from './types';

export interface PopulationSection {
  readonly element: HTMLElement;
  /** @param iteration the latest where undefined */
  update(
    evolution: Evolution,
    iteration: number | undefined,
    order: Order,
    selected: Place | undefined,
  ): void;
}

export interface PopulationActions {
  readonly select: (place: Place) => void;
  readonly chooseIteration: (iteration: number | undefined) => void;
  readonly chooseOrder: (order: Order) => void;
}

/** The graphs of one iteration as cards of a listbox. */
export function createPopulationSection(
  order: Order,
  { select, chooseIteration, chooseOrder }: PopulationActions,
): PopulationSection {
  const iterations = h('span');
  const counts = h('p', { class: 'muted' });
  const list = h('div', { class: 'population', role: 'listbox' });
  const ordering = createDropdown(
    strings.order,
    orders.map((value) => ({ value, label: strings.orderName(value) })),
    order,
    chooseOrder,
  );
  let members: readonly Member[] = [];
  let choices = '';
  /** What the list shows: it is drawn anew where that changes, and only marked where the selection does. */
  let drawn = '';
  const cards = () => [...list.children].filter((child) => child instanceof HTMLElement);
  const choose = (card: HTMLElement | undefined) => {
    const member = card && members[cards().indexOf(card)];
    if (member === undefined) return;
    select(member.place);
    card?.focus();
  };
  list.addEventListener('click', ({ target }) => {
    if (target instanceof Element)
      choose(target.closest<HTMLElement>('[role="option"]') ?? undefined);
  });
  list.addEventListener('keydown', (event) => {
    const all = cards();
    const from = all.findIndex((card) => card === document.activeElement);
    const next = nextCard(all, from, event.key);
    if (next === undefined) return;
    event.preventDefault();
    choose(all[next]);
  });
  return {
    element: section(
      'population-title',
      strings.populationTitle,
      h('div', { class: 'choices' }, iterations, ordering.element),
      counts,
      list,
    ),
    update: (evolution, wanted, chosenOrder, selected) => {
      const count = evolution.iterations.length;
      const shown = Math.min(wanted ?? count - 1, count - 1);
      const options = `${count} ${wanted ?? ''}`;
      if (options !== choices) {
        choices = options;
        setChildren(iterations, [iterationChoice(count, wanted, chooseIteration)]);
      }
      members = membersOf(evolution, shown, chosenOrder);
      setText(counts, strings.graphsOf(shown + 1, formatCount(members.length)));
      setAttribute(list, 'aria-label', strings.listLabel(shown + 1));
      const state = JSON.stringify([
        shown,
        members.map(({ place, model, isBest }) => [place, model.kept, isBest]),
      ]);
      if (state !== drawn) {
        drawn = state;
        const hadFocus = list.contains(document.activeElement);
        setChildren(list, members.map(card));
        if (hadFocus)
          cards()
            .find((one) => one.dataset['model'] === String(selected?.model))
            ?.focus();
      }
      const isSelected = ({ place }: Member) =>
        place.iteration === selected?.iteration && place.model === selected.model;
      const current = Math.max(0, members.findIndex(isSelected));
      cards().forEach((element, i) => {
        const member = members[i];
        setAttribute(element, 'aria-selected', String(member !== undefined && isSelected(member)));
        setAttribute(element, 'tabindex', i === current ? 0 : -1);
      });
    },
  };
}

function iterationChoice(
  count: number,
  wanted: number | undefined,
  choose: (iteration: number | undefined) => void,
): HTMLElement {
  const options = [
    { value: 'latest', label: strings.latest },
    ...Array.from({ length: count }, (_, i) => ({
      value: String(i),
      label: strings.populationOf(i + 1),
    })),
  ];
  const value = wanted === undefined || wanted >= count ? 'latest' : String(wanted);
  return createDropdown(strings.iteration, options, value, (chosen) => {
    choose(chosen === 'latest' ? undefined : Number(chosen));
  }).element;
}

function nextCard(cards: readonly HTMLElement[], from: number, key: string): number | undefined {
  if (key === 'Home') return 0;
  if (key === 'End') return cards.length - 1;
  const direction = directions.find((one): one is Direction => one === key);
  if (direction === undefined) return undefined;
  // Rows follow each other, as lines of text do.
  if (direction === 'ArrowRight') return Math.min(from + 1, cards.length - 1);
  if (direction === 'ArrowLeft') return Math.max(from - 1, 0);
  const places = cards.map(({ offsetLeft: x, offsetTop: y }) => ({ x, y }));
  return nextPlace(places, from, direction);
}

function card({ place, model, isBest }: Member): HTMLElement {
  const { name, graph, program, mass, metrics, kept } = model;
  const [train, validation, test] = [metrics.train, metrics.validation, metrics.test].map(
    formatPercent,
  );
  const fact = (title: string, value: string) =>
    h('span', { class: 'fact-pair' }, h('span', { class: 'muted' }, title), ' ', value);
  return h(
    'div',
    {
      class: 'card module',
      role: 'option',
      'aria-label': [
        strings.memberLabel(name, test ?? '', validation ?? '', mass),
        ...(isBest ? [strings.bestBadge] : []),
        ...(kept === true ? [strings.keptBadge] : []),
      ].join(', '),
      'data-model': place.model,
    },
    h(
      'div',
      { class: 'card-head' },
      h('strong', {}, name),
      h(
        'span',
        {},
        isBest ? h('span', { class: 'badge' }, strings.bestBadge) : undefined,
        kept === true ? h('span', { class: 'badge' }, strings.keptBadge) : undefined,
      ),
    ),
    h('div', { class: 'content', 'aria-hidden': 'true' }, drawGraph(graph, '')),
    h('code', { class: 'program short' }, program.text),
    h(
      'div',
      { class: 'card-numbers' },
      fact(strings.test, test ?? ''),
      fact(strings.validation, validation ?? ''),
      fact(strings.train, train ?? ''),
      fact(strings.mass, String(mass)),
    ),
  );
}
