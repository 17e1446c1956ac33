import { h, setAttribute, setChildren } from './dom';
import { sortIcon } from './icons';

/** The column that a table is sorted by. */
export interface ColumnSort<Key extends string> {
  readonly key: Key;
  readonly descending: boolean;
}

/** Sorting by the same column again turns it round. */
export function sortBy<Key extends string>(current: ColumnSort<Key>, key: Key): ColumnSort<Key> {
  return { key, descending: current.key === key ? !current.descending : false };
}

/** The heading of a column, a button that sorts by it. */
export function createSortHeader<Key extends string>(
  key: Key,
  title: string,
  isNumber: boolean,
  onSort: () => void,
): { readonly element: HTMLElement; update(sort: ColumnSort<Key>): void } {
  const arrow = h('span', { class: 'arrow', 'aria-hidden': 'true' });
  const button = h('button', { type: 'button' }, h('span', {}, title), arrow);
  button.addEventListener('click', onSort);
  const element = h('th', { scope: 'col', class: isNumber ? 'number' : undefined }, button);
  let drawn = '';
  return {
    element,
    update: (sort) => {
      const now = sort.key !== key ? 'none' : sort.descending ? 'descending' : 'ascending';
      if (now === drawn) return;
      drawn = now;
      setAttribute(element, 'aria-sort', now);
      setChildren(arrow, now === 'none' ? [] : [sortIcon(sort.descending)]);
    },
  };
}
