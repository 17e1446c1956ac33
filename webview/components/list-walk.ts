import type { Direction } from '../charts/point-walk';
import { directions, nextPlace } from '../charts/point-walk';

/** Next entry for a key in a list that wraps into lines; undefined if there is none. */
export function nextInList(
  cards: readonly HTMLElement[],
  from: number,
  key: string,
): number | undefined {
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
