import type { Random } from '../../../extension/core/data/random';
import type { Library } from '../../../extension/core/symbolic/language/library';
import { applied, symbol } from '../../../extension/core/symbolic/language/term';
import type { Term } from '../../../extension/core/symbolic/language/term';
import { createGrammar } from '../../../extension/core/symbolic/search/grammar';

/** Gives random programs of a library; those of more than about `budget` symbols end as soon as they can. */
export function randomPrograms(library: Library, random: Random, budget: number): () => Term {
  const grammar = createGrammar(library);
  return () => {
    let left = budget;
    const make = (nonterminal: number): Term => {
      left--;
      const all = grammar[nonterminal]?.productions ?? [];
      const least = Math.min(...all.map(({ args }) => args.length));
      const choices = left > 0 ? all : all.filter(({ args }) => args.length === least);
      const choice = choices[Math.floor(random() * choices.length)];
      if (choice === undefined) {
        throw new Error(`Nonterminal ${nonterminal} has no production.`);
      }
      return applied(symbol(choice.entry.name), choice.args.map(make));
    };
    return make(0);
  };
}
