import type { WidthTensor } from '../../width-pruning/weight-cuts';
import type { Shape } from '../values/shape-query';

/** Location of the head groups in a value. */
export interface GroupPlace {
  /** Counted from the end: −1 is the last. */
  readonly axis: number;
  /**
   * Lengths of the parts of a group along the axis. All groups of the first part come first, then those of the next.
   */
  readonly parts: readonly number[];
  /** True if the axis also includes a dynamic size, such as the sequence length. */
  readonly isOpen?: true;
}

/** Size of the axis; undefined if it is dynamic. */
export const placeLength = ({ parts, isOpen }: GroupPlace, groups: number): number | undefined =>
  isOpen === true ? undefined : groups * sum(parts);

export const sum = (numbers: Iterable<number>): number =>
  [...numbers].reduce((all, one) => all + one, 0);

export function isSamePlace(a: GroupPlace, b: GroupPlace): boolean {
  return a.axis === b.axis && a.parts.join() === b.parts.join() && a.isOpen === b.isOpen;
}

/** Returns the kept indices along an axis of size `groups` · Σ `parts`. */
export function groupIndices(groups: number, parts: readonly number[]): WidthTensor['places'] {
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
 * Location of the groups after a reshape to `target`; undefined if no axis contains them, or sizes of later axes are
 * unknown.
 */
export function placeIn(
  from: Shape,
  place: GroupPlace,
  target: Shape,
  groups: number,
): GroupPlace | undefined {
  const { axis, parts } = place;
  const to = copyDynamicName(from, target);
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
  // Offset from one group to the next.
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
    if (right === within && size === placeLength(place, groups)) {
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

/** Returns `to` with its only unmatched dynamic size named as in `from`, if the two must be equal. */
function copyDynamicName(from: Shape, to: Shape): Shape {
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
