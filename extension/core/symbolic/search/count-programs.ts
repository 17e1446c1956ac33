import type { Library } from '../language/library';
import { grammarOf } from './grammar';

/** How many programs of size 1, 2, … `maxSize` a library has: counted, not made. */
export function countPrograms(library: Library, maxSize: number): readonly number[] {
  const grammar = grammarOf(library);
  /** [size, nonterminal]; size 0 has none. */
  const counts: number[][] = [grammar.map(() => 0)];
  /** Ways to choose programs of the nonterminals from `position` on that have `size` symbols together. */
  const ways = (args: readonly number[], position: number, size: number): number => {
    const argument = args[position];
    if (argument === undefined) {
      return size === 0 ? 1 : 0;
    }
    let sum = 0;
    for (let first = 1; first <= size - (args.length - position - 1); first++) {
      const count = counts[first]?.[argument] ?? 0;
      sum += count === 0 ? 0 : count * ways(args, position + 1, size - first);
    }
    return sum;
  };
  for (let size = 1; size <= maxSize; size++) {
    counts.push(
      grammar.map(({ productions }) =>
        productions.reduce((sum, { args }) => sum + ways(args, 0, size - 1), 0),
      ),
    );
  }
  return counts.slice(1).map(([whole]) => whole ?? 0);
}
