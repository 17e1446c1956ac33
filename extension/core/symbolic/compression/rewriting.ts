import { applied, symbol } from '../language/term';
import type { Term } from '../language/term';
import { applicationCost, symbolCost } from './corpus';
import type { Corpus } from './corpus';

/** Where an abstraction matches: a node, and the nodes that are its arguments there. */
export type Matches = ReadonlyMap<number, readonly number[]>;

/** The cheapest way to write every node with an abstraction at hand. */
export interface Rewriting {
  /** Of every node. */
  readonly costs: Float64Array;
  /** Whether every node becomes a use of the abstraction. */
  readonly used: Uint8Array;
}

/** Decides for every node, parts first, whether to use the abstraction there: exact. */
export function cheapestRewriting(corpus: Corpus, matches: Matches): Rewriting {
  const costs = new Float64Array(corpus.nodes.length);
  const used = new Uint8Array(corpus.nodes.length);
  corpus.nodes.forEach((node, id) => {
    const plain =
      node.kind === 'symbol'
        ? symbolCost
        : applicationCost + (costs[node.head] ?? 0) + (costs[node.argument] ?? 0);
    const args = matches.get(id);
    const abstracted =
      args === undefined
        ? Infinity
        : args.reduce(
            (sum, argument) => sum + applicationCost + (costs[argument] ?? 0),
            symbolCost,
          );
    costs[id] = Math.min(plain, abstracted);
    used[id] = abstracted < plain ? 1 : 0;
  });
  return { costs, used };
}

/** The cost that the rewriting takes off all programs together. */
export function savedBy(corpus: Corpus, { costs }: Rewriting): number {
  return corpus.roots.reduce((sum, root) => sum + corpus.node(root).cost - (costs[root] ?? 0), 0);
}

/** The programs with the abstraction of the name in them. */
export function rewrite(
  corpus: Corpus,
  matches: Matches,
  { used }: Rewriting,
  name: string,
): readonly Term[] {
  const terms: Term[] = [];
  corpus.nodes.forEach((node, id) => {
    const part = (other: number): Term => terms[other] ?? corpus.node(other).term;
    if (used[id] === 1) {
      terms.push(applied(symbol(name), (matches.get(id) ?? []).map(part)));
    } else if (node.kind === 'symbol') {
      terms.push(node.term);
    } else {
      terms.push(applied(part(node.head), [part(node.argument)]));
    }
  });
  return corpus.roots.map((root) => terms[root] ?? corpus.node(root).term);
}
