import { spineOf } from '../language/term';
import type { Term } from '../language/term';

/** Arguments of the primitives that are not steps, of which the last is the continuation. */
const argumentCounts: Readonly<Record<string, number>> = { func: 2, if_positions_equal: 5 };

/**
 * Whether a term of type `T -> T` does something to the state that its argument has no part in, and then goes on with
 * the argument: whether it is a lambda whose variable stands only at the end. Then it is a function of the state.
 * @param isStateFunction tells the same of a symbol that is an invention or a primitive
 */
export function endsInVariable(term: Term, isStateFunction: (name: string) => boolean): boolean {
  if (term.kind !== 'lambda') {
    return false;
  }
  let rest: Term = term.body;
  for (;;) {
    const { head, args } = spineOf(rest);
    if (head.kind === 'variable') {
      return head.index === 0 && args.length === 0;
    }
    const continuation = args.at(-1);
    if (head.kind !== 'symbol' || continuation === undefined) {
      return false;
    }
    const count = argumentCounts[head.name] ?? (isStateFunction(head.name) ? 1 : 0);
    if (args.length !== count || args.slice(0, -1).some((argument) => hasFree(argument, 0))) {
      return false;
    }
    rest = continuation;
  }
}

function hasFree(term: Term, index: number): boolean {
  switch (term.kind) {
    case 'symbol':
      return false;
    case 'variable':
      return term.index === index;
    case 'lambda':
      return hasFree(term.body, index + 1);
    case 'application':
      return hasFree(term.function, index) || hasFree(term.argument, index);
  }
}
