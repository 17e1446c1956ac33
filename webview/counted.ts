import { t } from './translate';

/** A count as it is shown with its noun: `1 block`, `1,024 tensors`. */
export const counted = (count: string | number, noun: string): string =>
  String(count) === '1' ? t(`1 ${noun}`) : t(`{0} ${noun}s`, count);
