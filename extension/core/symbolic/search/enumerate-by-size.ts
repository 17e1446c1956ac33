import { checkpoint } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import { Machine, overrun } from '../evaluation/machine';
import { withUniformWeights } from '../language/library';
import type { Library } from '../language/library';
import { UserError } from '../../user-error';
import { Enumeration, maxPrograms } from './enumeration';
import { say } from '../../message';
import { createGrammar } from './grammar';
import type { SymbolicGraph } from '../../models/patch/symbolic-graph';
import { GraphClasses, SimpleGraph } from '../evaluation/isomorphism';

/** Statistics of the programs of size 1, 2, …, one element per size. */
export interface SizeTable {
  readonly programs: readonly number[];
  /** Programs with a valid graph: connected, more than one node. */
  readonly kept: readonly number[];
  /** Number of non-isomorphic graphs up to this size. */
  readonly distinctGraphs: readonly number[];
}

/** Class of a graph that isn't a valid result. */
const notKept = -1;

/**
 * Classifies programs' graphs up to isomorphism. Every graph of the machine is classified once.
 */
export class ProgramGraphs {
  private readonly classes = new GraphClasses();
  /** Class by the machine's graph id. */
  private readonly classOfGraph: number[] = [];

  public constructor(private readonly machine: Machine) {}

  /** Number of distinct graphs. */
  public get size(): number {
    return this.classes.size;
  }

  /** Class of a program's graph; undefined if the graph isn't a valid result. */
  public classOf(code: number): number | undefined {
    const state = this.machine.evaluate(code);
    if (state === overrun) {
      return undefined;
    }
    const { space } = this.machine;
    const graph = space.graphOf(state);
    const found = (this.classOfGraph[graph] ??= space.isResult(graph)
      ? this.classOfKept(space.describe(graph))
      : notKept);
    return found === notKept ? undefined : found;
  }

  public classOfKept(graph: SymbolicGraph): number {
    return this.classes.classOf(SimpleGraph.of(graph));
  }
}

/**
 * Enumerates and evaluates all programs of a library up to a size, regardless of weights.
 * @throws UserError if there are too many; CancelledError
 */
export async function enumerateBySize(
  library: Library,
  maxSize: number,
  context: JobContext,
): Promise<SizeTable> {
  let total = 0;
  for (const [index, count] of countPrograms(library, maxSize).entries()) {
    total += count;
    if (total > maxPrograms) {
      throw new UserError(
        'programs-too-many',
        say`There are ${total} programs of size ${index + 1} or less; at most ${maxPrograms} fit in memory.`,
        { field: 'maxSize', remedy: say`Choose a size of ${index} at most.` },
      );
    }
  }
  const uniform = withUniformWeights(library.entries);
  const machine = new Machine(uniform);
  const graphs = new ProgramGraphs(machine);
  const enumeration = new Enumeration(uniform, machine);
  const empty = (): number[] => Array<number>(maxSize).fill(0);
  const [programs, kept, distinctGraphs] = [empty(), empty(), empty()];
  let looked = 0;
  for (const { count } of enumeration.run()) {
    for (const until = Math.min(count, total); looked < until; looked++) {
      const index = enumeration.sizeOf(looked) - 1;
      programs[index] = (programs[index] ?? 0) + 1;
      if (graphs.classOf(enumeration.programs.at(looked)) !== undefined) {
        kept[index] = (kept[index] ?? 0) + 1;
      }
      distinctGraphs.fill(graphs.size, index);
    }
    context.progress({ stage: say`Enumerating programs`, done: looked, total, unit: 'programs' });
    await checkpoint(context.cancellation);
    if (looked === total) {
      break;
    }
  }
  return { programs, kept, distinctGraphs };
}

/** Number of programs of size 1, 2, … `maxSize` of a library, counted without creating them. */
export function countPrograms(library: Library, maxSize: number): readonly number[] {
  const grammar = createGrammar(library);
  /** [size, nonterminal]; size 0 has none. */
  const counts: number[][] = [grammar.map(() => 0)];
  /** Number of ways to choose programs of the nonterminals from `position` with `size` symbols in total. */
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
