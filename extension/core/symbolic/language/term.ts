/** A term: symbols are primitives and inventions, variables are de Bruijn indices. */
export type Term =
  | { readonly kind: 'symbol'; readonly name: string }
  | { readonly kind: 'variable'; readonly index: number }
  | { readonly kind: 'lambda'; readonly body: Term }
  | { readonly kind: 'application'; readonly function: Term; readonly argument: Term };

export const symbol = (name: string): Term => ({ kind: 'symbol', name });

/** Applies a function to arguments (curried). */
export function applied(head: Term, args: readonly Term[]): Term {
  return args.reduce<Term>(
    (result, argument) => ({ kind: 'application', function: result, argument }),
    head,
  );
}

/** Head and arguments of a term. */
export interface Spine {
  readonly head: Exclude<Term, { kind: 'application' }>;
  readonly args: readonly Term[];
}

export function splitSpine(term: Term): Spine {
  const args: Term[] = [];
  let head = term;
  for (; head.kind === 'application'; head = head.function) {
    args.push(head.argument);
  }
  return { head, args: args.reverse() };
}

/** Prints a term as {@link parseTerm} reads it: `(push (add (connect identity)))`. */
export function printTerm(term: Term): string {
  switch (term.kind) {
    case 'symbol':
      return term.name;
    case 'variable':
      return `$${term.index}`;
    case 'lambda':
      return `(lam ${printTerm(term.body)})`;
    case 'application': {
      const { head, args } = splitSpine(term);
      return `(${[head, ...args].map(printTerm).join(' ')})`;
    }
  }
}

/** Number of symbols and variables of a term; an invention counts as 1, or as its size. */
export function termSize(term: Term, sizes?: ReadonlyMap<string, number>): number {
  switch (term.kind) {
    case 'symbol':
      return sizes?.get(term.name) ?? 1;
    case 'variable':
      return 1;
    case 'lambda':
      return termSize(term.body, sizes);
    case 'application':
      return termSize(term.function, sizes) + termSize(term.argument, sizes);
  }
}

/** Calls `visit` for every symbol of the term. */
export function forEachSymbol(term: Term, visit: (name: string) => void): void {
  if (term.kind === 'symbol') {
    visit(term.name);
  } else if (term.kind === 'lambda') {
    forEachSymbol(term.body, visit);
  } else if (term.kind === 'application') {
    forEachSymbol(term.function, visit);
    forEachSymbol(term.argument, visit);
  }
}
