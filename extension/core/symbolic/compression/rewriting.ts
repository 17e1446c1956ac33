import { applied, symbol } from '../language/term';
import type { Term } from '../language/term';
import { applicationCost, symbolCost } from './corpus';
import type { Corpus } from './corpus';

/** Matches of an abstraction: nodes with their argument nodes. */
export type Matches = ReadonlyMap<number, readonly number[]>;

/** Cheapest way to write every node with a set of abstractions. */
export interface Rewriting {
  /** Cost of every node. */
  readonly costs: Float64Array;
  /** Index of the abstraction used at every node; −1 for none. */
  readonly used: Int32Array;
}

/** Selects the abstraction for every node, subterms first. Exact. */
export function cheapestRewriting(corpus: Corpus, abstractions: readonly Matches[]): Rewriting {
  const costs = new Float64Array(corpus.nodes.length);
  const used = new Int32Array(corpus.nodes.length).fill(-1);
  corpus.nodes.forEach((node, id) => {
    let cost =
      node.kind === 'symbol'
        ? symbolCost
        : applicationCost + (costs[node.head] ?? 0) + (costs[node.argument] ?? 0);
    abstractions.forEach((matches, abstraction) => {
      const args = matches.get(id);
      const abstracted = args?.reduce(
        (sum, argument) => sum + applicationCost + (costs[argument] ?? 0),
        symbolCost,
      );
      if (abstracted !== undefined && abstracted < cost) {
        cost = abstracted;
        used[id] = abstraction;
      }
    });
    costs[id] = cost;
  });
  return { costs, used };
}

/** Cost saved by the rewriting in all programs. */
export function totalSavings(corpus: Corpus, { costs }: Rewriting): number {
  return corpus.roots.reduce((sum, root) => sum + corpus.node(root).cost - (costs[root] ?? 0), 0);
}

/** Programs rewritten with named abstractions. */
export function rewrite(
  corpus: Corpus,
  abstractions: readonly Matches[],
  { used }: Rewriting,
  names: readonly string[],
): readonly Term[] {
  const terms: Term[] = [];
  corpus.nodes.forEach((node, id) => {
    const part = (other: number): Term => terms[other] ?? corpus.node(other).term;
    const abstraction = used[id] ?? -1;
    const name = names[abstraction];
    if (name !== undefined) {
      terms.push(applied(symbol(name), (abstractions[abstraction]?.get(id) ?? []).map(part)));
    } else if (node.kind === 'symbol') {
      terms.push(node.term);
    } else {
      terms.push(applied(part(node.head), [part(node.argument)]));
    }
  });
  return corpus.roots.map((root) => terms[root] ?? corpus.node(root).term);
}
