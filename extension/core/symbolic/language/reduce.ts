import type { Library } from './library';
import { Rejection } from './rejection';
import { applied, termSize } from './term';
import type { Term } from './term';
import { inventionsInOrder } from './library';

/** Maximum number of reductions of a term. */
const reductionLimit = 20_000;
/** Maximum nesting of reductions; JavaScript's stack allows more. */
const nestingLimit = 1000;

/** Value of a term during reduction: a function, or a head that can't be reduced. */
type Value =
  | { readonly kind: 'function'; readonly apply: (argument: Value) => Value }
  | { readonly kind: 'stuck'; readonly head: Term; readonly args: readonly Value[] };

/**
 * Expands all inventions and applies all lambdas (full beta-reduction by evaluation).
 * @throws Rejection if the result is too large
 */
export function reduceTerm(term: Term, library: Library): Term {
  const terms = new Map(library.entries.map((entry) => [entry.name, entry.term]));
  let reductions = 0;
  let nesting = 0;

  const guarded = <T>(action: () => T): T => {
    if (++reductions > reductionLimit || nesting > nestingLimit) {
      throw new Rejection('too-big', 'The program is too big once its inventions are replaced.');
    }
    nesting++;
    const result = action();
    nesting--;
    return result;
  };

  const evaluate = (part: Term, variables: readonly Value[]): Value =>
    guarded(() => {
      switch (part.kind) {
        case 'symbol': {
          const body = terms.get(part.name);
          return body === undefined ? { kind: 'stuck', head: part, args: [] } : evaluate(body, []);
        }
        case 'variable': {
          const value = variables[part.index];
          if (value === undefined) {
            throw new Rejection('type-error', `$${part.index} is bound by no lambda.`);
          }
          return value;
        }
        case 'lambda':
          return {
            kind: 'function',
            apply: (argument) => evaluate(part.body, [argument, ...variables]),
          };
        case 'application': {
          const head = evaluate(part.function, variables);
          const argument = evaluate(part.argument, variables);
          return head.kind === 'function'
            ? head.apply(argument)
            : { ...head, args: [...head.args, argument] };
        }
      }
    });

  /**
   * Converts a value to a term. `lambdas` is the number of enclosing lambdas; variables have levels until their indices
   * are known.
   */
  const readBack = (value: Value, lambdas: number): Term =>
    guarded(() => {
      if (value.kind === 'function') {
        const variable: Value = {
          kind: 'stuck',
          head: { kind: 'variable', index: lambdas },
          args: [],
        };
        return { kind: 'lambda', body: readBack(value.apply(variable), lambdas + 1) };
      }
      const { head, args } = value;
      return applied(
        head.kind === 'variable' ? { kind: 'variable', index: lambdas - 1 - head.index } : head,
        args.map((argument) => readBack(argument, lambdas)),
      );
    });

  return readBack(evaluate(term, []), 0);
}

/**
 * Returns a function that computes the unreduced mass of a program: the number of symbols and bound variables with
 * expanded inventions. The search keeps the program of least mass.
 */
export function createMass(library: Library): (term: Term) => number {
  const inventions = new Map<string, number>();
  const mass = (term: Term): number => termSize(term, inventions);
  for (const { name, term } of inventionsInOrder(library)) {
    inventions.set(name, mass(term));
  }
  return mass;
}

/**
 * Number of symbols of a program after expanding inventions and full reduction, as in the released code's archive.
 * @throws Rejection if the result is too large
 */
export function reducedMass(program: Term, library: Library): number {
  return termSize(reduceTerm(program, library));
}
