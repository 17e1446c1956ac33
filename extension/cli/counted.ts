import { counted as message, inEnglish } from '../core/message';

/** `1 group`, `3 groups`. */
export const counted = (count: number, noun: string): string => inEnglish(message(count, noun));
