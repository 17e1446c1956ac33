import type { Budget } from '../core/prune/options';

/** A budget as people write it (`25%`, `6`, `all`), or undefined if it is none. */
export function parseBudget(text: string): Budget | undefined {
  const trimmed = text.trim().toLowerCase();
  if (trimmed === 'all') {
    return { kind: 'all' };
  }
  const match = /^(\d+(?:\.\d+)?)\s*(%?)$/.exec(trimmed);
  const value = Number(match?.[1]);
  if (match?.[2] === '%') {
    return value > 0 && value <= 100 ? { kind: 'ratio', ratio: value / 100 } : undefined;
  }
  return Number.isInteger(value) && value > 0 ? { kind: 'count', count: value } : undefined;
}
