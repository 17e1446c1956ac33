import type { JobContext } from '../../jobs/job';
import { typesOf, withInvention } from '../language/library';
import type { Library } from '../language/library';
import type { Term } from '../language/term';
import { bestAbstraction } from './abstraction';
import { Corpus } from './corpus';
import { KnownInventions } from './known-inventions';
import { rewrite } from './rewriting';
import { say } from '../../message';

export interface CompressOptions {
  /** Abstractions at most. */
  readonly iterations?: number;
  /** Holes of an abstraction at most. */
  readonly arity?: number;
}

export interface Compression {
  /** The new inventions before the old entries, all weights uniform; the same library where there are none. */
  readonly library: Library;
  /** The programs with the inventions in them, in their order. */
  readonly programs: readonly Term[];
  /** The latest last. */
  readonly inventions: readonly LearnedInvention[];
}

export interface LearnedInvention {
  readonly name: string;
  readonly term: Term;
  /** Cost taken off the programs, less what the invention's body costs. */
  readonly utility: number;
}

const defaultIterations = 3;
const defaultArity = 2;

/**
 * Learns inventions from programs, each one the abstraction of highest utility that two programs at least share, and
 * writes the programs with them. What the library has a name for already is written with that name, and is not learned
 * again. Every program keeps its graph.
 * @throws CancelledError
 */
export async function compress(
  library: Library,
  programs: readonly Term[],
  { iterations = defaultIterations, arity = defaultArity }: CompressOptions,
  context: JobContext,
): Promise<Compression> {
  const inventions: LearnedInvention[] = [];
  let state = { library, programs: new KnownInventions(library).useIn(programs) };
  while (inventions.length < iterations) {
    context.progress({
      stage: say`Learning inventions`,
      done: inventions.length,
      total: iterations,
      unit: 'steps',
    });
    const corpus = new Corpus(state.programs, typesOf(state.library));
    const best = await bestAbstraction(corpus, arity, context.cancellation);
    if (best === undefined) {
      break;
    }
    const { term, type, utility, matches, rewriting } = best;
    const known = new KnownInventions(state.library).nameOf(term, type);
    const name = known ?? freeName(state.library);
    const written = rewrite(corpus, [matches], rewriting, [name]);
    if (known === undefined) {
      inventions.push({ name, term, utility });
      state = { library: withInvention(state.library, name, term, type), programs: written };
    } else {
      state = { ...state, programs: written };
    }
  }
  return { ...state, inventions };
}

/** `fn_` and the number after the largest there is. */
function freeName({ entries }: Library): string {
  const numbers = entries.flatMap(({ name }) => /^fn_(\d+)$/.exec(name)?.[1] ?? []).map(Number);
  return `fn_${Math.max(-1, ...numbers) + 1}`;
}
