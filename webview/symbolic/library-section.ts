import { h, setChildren } from '../dom';
import { formatCount } from '../format';
import { scrollingTable, section } from '../simple-table';
import { strings } from './strings';
import type { Evolution } from './types';

export interface LibrarySection {
  readonly element: HTMLElement;
  update(evolution: Evolution): void;
}

/** The inventions: what they stand for, when they were learned, and where they are used. */
export function createLibrarySection(): LibrarySection {
  const body = h('div', { class: 'library' });
  let drawn = '';
  return {
    element: section('library-title', strings.library, body),
    update: ({ inventions }) => {
      const state = JSON.stringify(inventions);
      if (state === drawn) return;
      drawn = state;
      if (inventions.length === 0) {
        setChildren(body, [h('p', { class: 'muted' }, strings.libraryNone)]);
        return;
      }
      setChildren(body, [
        h('p', { class: 'muted' }, strings.libraryCount(inventions.length)),
        scrollingTable(
          strings.libraryTable,
          [
            { title: strings.name },
            { title: strings.body },
            { title: strings.inlined },
            { title: strings.learnedAfter, isNumber: true },
            { title: strings.utility, isNumber: true },
            { title: strings.usedIn },
          ],
          inventions.map(({ name, body: term, iteration, utility, programs }) => [
            h('code', {}, name),
            h('code', { class: 'wrap' }, term.text),
            term.uses.length === 0
              ? strings.none
              : h('code', { class: 'wrap' }, term.reduced?.text ?? strings.inlinedTooLong),
            String(iteration),
            formatCount(utility),
            usesOf(programs),
          ]),
        ),
      ]);
    },
  };
}

function usesOf(programs: readonly number[]): string {
  const parts = programs.flatMap((count, i) => (count === 0 ? [] : [strings.usesOf(i + 1, count)]));
  return parts.length === 0 ? strings.unused : parts.join(', ');
}
