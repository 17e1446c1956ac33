import type { JobContext } from '../../jobs/job';
import { initialLibrary, withInvention } from '../language/library';
import type { Library } from '../language/library';
import { parseTerm } from '../language/parse-term';
import { reduceTerm } from '../language/reduce';
import { printTerm } from '../language/term';
import { explore } from '../search/explore';
import type { FoundGraph } from './contestants';

/**
 * Inventions that the search of arXiv 2303.03340 learned first (released logs): with primitives alone, a million
 * programs build two graphs.
 */
const inventions = [
  ['fn_0', '(lam (push (add (connect $0))))'],
  ['fn_1', '(lam (fn_0 (next_port (fn_0 $0))))'],
  ['fn_2', '(lam (add (connect $0)))'],
] as const;

/** Library of the primitives and inventions that build chains, stars and rings. */
export function patchLibrary(): Library {
  return inventions.reduce((library, [name, text]) => {
    const names = new Set(library.entries.map((entry) => entry.name));
    return withInvention(
      library,
      name,
      parseTerm(text, (one) => names.has(one)),
    );
  }, initialLibrary());
}

/** Default limits of the search for patches: graphs to try, and programs to enumerate. */
export const defaultPatchLimits = { graphs: 4, programs: 20_000 };

/**
 * First graphs that programs build in order of likelihood, each with the enumerated program of least mass that builds
 * it, expanded to primitives.
 */
export async function findGraphs(
  library: Library,
  limits: { readonly graphs: number; readonly programs: number },
  context: JobContext,
): Promise<FoundGraph[]> {
  const { population } = await explore(
    library,
    { quota: limits.graphs, programLimit: limits.programs },
    context,
  );
  return population.map(({ graph, program }) => ({
    graph,
    program: printTerm(reduceTerm(program, library)),
  }));
}
