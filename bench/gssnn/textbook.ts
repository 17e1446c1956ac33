import { GraphClasses, SimpleGraph } from '../../extension/core/symbolic/evaluation/isomorphism';
import type { Library } from '../../extension/core/symbolic/language/library';
import { applied, symbol } from '../../extension/core/symbolic/language/term';
import type { Term } from '../../extension/core/symbolic/language/term';
import { CostQueue } from '../../extension/core/symbolic/search/enumeration';
import { weightCost, createGrammar } from '../../extension/core/symbolic/search/grammar';
import { referenceGraph } from '../../test/unit/symbolic/reference-interpreter';

interface Candidate {
  readonly name: string;
  /** Places of the arguments in the list of programs. */
  readonly args: readonly number[];
  readonly ownCost: number;
  readonly cost: number;
}

/**
 * Heap search as published (Fijalkow et al. 2022, arXiv 2110.12485), for one nonterminal: every program is an entry of
 * the heap, and each is evaluated from its beginning on maps. The measure of what sharing costs and states is worth.
 * @returns the number of graphs
 */
export function textbookSearch(library: Library, programLimit: number): number {
  const productions = createGrammar(library)[0]?.productions ?? [];
  const heap = new CostQueue<Candidate>();
  const programs: { readonly term: Term; readonly cost: number }[] = [];
  const seen = new Set<string>();
  const waiting: Omit<Candidate, 'cost'>[] = [];
  const graphs = new GraphClasses();

  const offer = (candidate: Omit<Candidate, 'cost'>): void => {
    let cost = candidate.ownCost;
    for (const argument of candidate.args) {
      const known = programs[argument];
      if (known === undefined) {
        waiting.push(candidate);
        return;
      }
      cost += known.cost;
    }
    const key = `${candidate.name} ${candidate.args.join(' ')}`;
    if (!seen.has(key)) {
      seen.add(key);
      heap.push({ ...candidate, cost });
    }
  };

  for (const { entry, args } of productions) {
    offer({ name: entry.name, args: args.map(() => 0), ownCost: weightCost(entry.logWeight) });
  }
  while (programs.length < programLimit) {
    const best = heap.pop();
    if (best === undefined) {
      break;
    }
    const { name, args, ownCost, cost } = best;
    const term = applied(
      symbol(name),
      args.flatMap((argument) => programs[argument]?.term ?? []),
    );
    programs.push({ term, cost });
    const graph = referenceGraph(term);
    if (graph !== undefined) {
      graphs.classOf(SimpleGraph.of(graph));
    }
    args.forEach((argument, position) => {
      offer({ name, args: args.with(position, argument + 1), ownCost });
    });
    waiting.splice(0).forEach(offer);
  }
  return graphs.size;
}
