import { choose, shuffle } from '../../data/random';
import type { Random } from '../../data/random';
import { drawWithin, placesRange, startRange } from './rules';
import type { Range, Rule } from './rules';

/** Three rows of three columns. */
type Rows<T> = readonly (readonly T[])[];

const rowCount = 3;

/**
 * Draws values of an attribute under a rule, row by row.
 * @param range of all values
 */
export function drawValues(rule: Rule, range: Range, random: Random): Rows<number> {
  const start = required(startRange(rule, range));
  const rows: number[][] = [];
  switch (rule.kind) {
    case 'constant':
    case 'progression': {
      const by = rule.kind === 'constant' ? 0 : rule.by;
      return repeat(() => {
        const first = drawWithin(start, random);
        return [first, first + by, first + 2 * by];
      });
    }
    case 'arithmetic':
      while (rows.length < rowCount) {
        const first = drawWithin(start, random);
        const high = rule.sign > 0 ? range.high - first : first - range.low;
        const second = drawWithin({ low: range.low, high }, random);
        // Adding 0 twice would look like a constant.
        if (second !== 0 || rows.length !== 1 || rows[0]?.[1] !== 0) {
          rows.push([first, second, first + rule.sign * second]);
        }
      }
      return rows;
    case 'distribute-three': {
      const all = Array.from({ length: range.high - range.low + 1 }, (_, i) => range.low + i);
      return distribute(shuffle(all, random), random);
    }
  }
}

/** Draws sets of slots under a position rule, row by row. */
export function drawPlaces(rule: Rule, slots: number, random: Random): Rows<readonly number[]> {
  const range = required(placesRange(rule, slots));
  const draw = (): readonly number[] => choose(drawWithin(range, random), slots, random);
  switch (rule.kind) {
    case 'constant':
    case 'progression': {
      const by = rule.kind === 'constant' ? 0 : rule.by;
      return repeat(() => {
        const first = draw();
        return [0, 1, 2].map((column) =>
          first.map((place) => (place + column * by + 2 * slots) % slots),
        );
      });
    }
    case 'arithmetic':
      return repeat(() => {
        const first = draw();
        for (;;) {
          const second = draw();
          const added = second.filter((place) => !first.includes(place));
          const remaining = first.filter((place) => !second.includes(place));
          const third = rule.sign > 0 ? [...first, ...added] : remaining;
          if ((rule.sign > 0 ? added : remaining).length > 0) {
            return [first, second, third];
          }
        }
      });
    case 'distribute-three': {
      const count = drawWithin(range, random);
      const sets = new Map<string, readonly number[]>();
      while (sets.size < rowCount) {
        const set = choose(count, slots, random);
        sets.set(set.join(), set);
      }
      return distribute([...sets.values()], random);
    }
  }
}

/** First three of `items`, rotated by one or two from row to row. */
function distribute<T>(items: readonly T[], random: Random): Rows<T> {
  const three = items.slice(0, rowCount);
  const turn = random() < 0.5 ? 1 : 2;
  return [0, 1, 2].map((row) => [0, 1, 2].map((column) => three[(column + row * turn) % 3] as T));
}

const repeat = <T>(row: () => readonly T[]): Rows<T> => Array.from({ length: rowCount }, row);

function required(range: Range | undefined): Range {
  if (range === undefined) {
    throw new Error('rules are drawn so that they have room');
  }
  return range;
}
