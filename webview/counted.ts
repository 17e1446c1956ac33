/** A count as it is shown with its noun: `1 block`, `1,024 tensors`. */
export const counted = (count: string | number, noun: string): string =>
  `${count} ${noun}${String(count) === '1' ? '' : 's'}`;
