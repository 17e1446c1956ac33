import type { WidthTensor } from '../../narrow/weight-cuts';
import type { Shape } from '../values/shape-query';

/** Where a value has a place for each group of heads. */
export interface GroupPlace {
  /** Counted from the end: −1 is the last. */
  readonly axis: number;
  /** Lengths that a group has along the axis, which holds all groups' values of one kind, then those of the next. */
  readonly parts: readonly number[];
  /** Whether the axis holds that as many times as other sizes say, such as the length of a text. */
  readonly isOpen?: true;
}

/** Numbers along the axis of a place, where they are known before the graph runs. */
export const lengthOf = ({ parts, isOpen }: GroupPlace, groups: number): number | undefined =>
  isOpen === true ? undefined : groups * sum(parts);

export const sum = (numbers: Iterable<number>): number =>
  [...numbers].reduce((all, one) => all + one, 0);

export function isSamePlace(a: GroupPlace, b: GroupPlace): boolean {
  return a.axis === b.axis && a.parts.join() === b.parts.join() && a.isOpen === b.isOpen;
}

/** Places of groups along an axis of `groups` · Σ `parts`. */
export function placesOf(groups: number, parts: readonly number[]): WidthTensor['places'] {
  return (kept) => {
    let start = 0;
    return parts.flatMap((length) => {
      const first = start;
      start += groups * length;
      return kept.flatMap((group) => Array.from({ length }, (_, i) => first + group * length + i));
    });
  };
}

/**
 * The place that groups have in another shape of as many numbers in the same order; undefined where no axis of it
 * holds them, or sizes behind them are not known.
 */
export function placeIn(
  from: Shape,
  place: GroupPlace,
  target: Shape,
  groups: number,
): GroupPlace | undefined {
  const { axis, parts } = place;
  const to = withNamesOf(from, target);
  const own = from.length + axis;
  const behind = from.slice(own + 1);
  let equal = 0;
  while (equal < behind.length && behind.at(-1 - equal) === to.at(-1 - equal)) {
    equal++;
  }
  const rest = behind.slice(0, behind.length - equal);
  if (rest.some((size) => typeof size !== 'number')) {
    return undefined;
  }
  const within = rest.reduce<number>((all, size) => all * Number(size), 1);
  const [length = 0] = parts;
  const isEven = parts.every((one) => one === length);
  // Numbers from one group to the next.
  const stride = length * within;
  let right = 1;
  for (let at = -1 - equal; right <= stride; at--) {
    const size = to.at(at);
    const inner = stride / right;
    if (typeof size !== 'number') {
      const before = to.slice(0, at);
      const isRest = before.length <= own && before.every((one, i) => one === from[i]);
      return size !== undefined && isRest && isEven && Number.isInteger(inner)
        ? { axis: at, parts: [inner], isOpen: true }
        : undefined;
    }
    if (right === within && size === lengthOf(place, groups)) {
      return { axis: at, parts };
    }
    if (isEven && Number.isInteger(inner) && size % (groups * inner) === 0) {
      const repeats = size / (groups * inner);
      return { axis: at, parts: Array.from({ length: repeats }, () => inner) };
    }
    right *= size;
  }
  return undefined;
}

/** A shape of as many numbers, in which a name that stands for the only one that is left of another's is that. */
function withNamesOf(from: Shape, to: Shape): Shape {
  const left = [...from];
  const others = to.flatMap((size, axis) => {
    const place = left.indexOf(size);
    if (place >= 0) {
      left.splice(place, 1);
    }
    return place < 0 ? [axis] : [];
  });
  const product = (sizes: Shape): number =>
    sizes.reduce<number>((all, size) => all * (typeof size === 'number' ? size : 1), 1);
  const [name, ...names] = left.filter((size) => typeof size === 'string');
  const [axis, ...axes] = others.filter((one) => typeof to[one] === 'string');
  return name !== undefined &&
    axis !== undefined &&
    names.length + axes.length === 0 &&
    product(left) === product(others.map((one) => to[one] ?? 1))
    ? to.with(axis, name)
    : to;
}
