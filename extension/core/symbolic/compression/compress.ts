import type { JobContext } from '../../jobs/job';
import { typeLookup, withInvention } from '../language/library';
import type { Library } from '../language/library';
import type { Term } from '../language/term';
import { bestAbstraction } from './abstraction';
import { Corpus } from './corpus';
import { KnownInventions } from './known-inventions';
import { rewrite } from './rewriting';
import { say } from '../../message';

export interface CompressOptions {
  /** Maximum number of abstractions. */
  readonly iterations?: number;
  /** Maximum number of holes of an abstraction. */
  readonly arity?: number;
}

/** Result of learning inventions from programs: the new library, and the programs rewritten with it. */
export interface Compression {
  /** New inventions followed by the old entries, with uniform weights; the original library if there are none. */
  readonly library: Library;
  /** The programs rewritten with the inventions, in the same order. */
  readonly programs: readonly Term[];
  /** New inventions in the order they were learned. */
  readonly inventions: readonly LearnedInvention[];
}

export interface LearnedInvention {
  readonly name: string;
  readonly term: Term;
  /** Cost saved in the programs, minus the cost of the invention's body. */
  readonly utility: number;
}

const defaultIterations = 3;
const defaultArity = 2;

/**
 * Learns inventions from programs, each the abstraction of highest utility that at least two programs share, and
 * rewrites the programs with them. Existing inventions of the library are used and not learned again. Programs keep
 * their graphs.
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
    const corpus = new Corpus(state.programs, typeLookup(state.library));
    const best = await bestAbstraction(corpus, arity, context.cancellation);
    if (best === undefined) {
      break;
    }
    const { term, type, utility, matches, rewriting } = best;
    const known = new KnownInventions(state.library).findName(term, type);
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

/** `fn_` and the number after the largest used one. */
function freeName({ entries }: Library): string {
  const numbers = entries.flatMap(({ name }) => /^fn_(\d+)$/.exec(name)?.[1] ?? []).map(Number);
  return `fn_${Math.max(-1, ...numbers) + 1}`;
}
