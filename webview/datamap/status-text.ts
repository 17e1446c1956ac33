import { formatCount } from '../format';
import type { Answered } from '../kit/asker';
import type { GalleryQuery } from '../../extension/protocol/datamap';
import { pageSize } from './gallery-query';
import { strings } from './strings';
import type { ExamplePage, Sought } from './types';
import { joinSentences } from '../translate';

export function lastPage(page: ExamplePage | undefined): number {
  return page === undefined ? 0 : Math.max(0, Math.ceil(page.total / pageSize) - 1);
}

/** Announcement of the shown examples, for screen readers. */
export function statusText(
  answered: Answered<GalleryQuery, ExamplePage> | undefined,
  sought: Sought | undefined,
): string {
  if (answered?.ok === undefined) return answered?.error ?? '';
  const { items, total, page, place } = answered.ok;
  if (sought?.hasArrived === true && place !== undefined) {
    const name = strings.point(formatCount(sought.index));
    const where = strings.place(name, formatCount(place + 1), formatCount(total));
    return sought.isCleared ? joinSentences([where, strings.filtersCleared]) : where;
  }
  if (total === 0) return strings.foundNone;
  const first = page * pageSize;
  return strings.found(
    formatCount(first + 1),
    formatCount(first + items.length),
    formatCount(total),
  );
}
