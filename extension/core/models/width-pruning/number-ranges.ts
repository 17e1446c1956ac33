/** Matches ascending numbers as ranges, such as `0-3,7`. */
export const numberRanges = /^\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*$/;

/** More of them are no sublayer, but a mistake. */
const mostNumbers = 1 << 24;

/** Parses ranges to numbers; undefined if they don't ascend. */
export function parseRanges(text: string): number[] | undefined {
  const numbers: number[] = [];
  for (const range of text.split(',')) {
    const [first = Number.NaN, last = first] = range.split('-').map(Number);
    if (!(first > (numbers.at(-1) ?? -1) && last >= first && last < mostNumbers)) {
      return undefined;
    }
    for (let number = first; number <= last; number++) {
      numbers.push(number);
    }
  }
  return numbers;
}

/** Formats ascending numbers as the fewest ranges. */
export function formatRanges(numbers: readonly number[]): string {
  const ranges: [number, number][] = [];
  for (const number of numbers) {
    const range = ranges.at(-1);
    if (range?.[1] === number - 1) {
      range[1] = number;
    } else {
      ranges.push([number, number]);
    }
  }
  return ranges
    .map(([first, last]) => (first === last ? String(first) : `${first}-${last}`))
    .join(',');
}

export function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b);
}

export const leastCommonMultiple = (a: number, b: number): number =>
  (a / greatestDivisor(a, b)) * b;
