import { Rejection } from './rejection';
import { printTerm } from './term';
import type { Term } from './term';
import { functionType, printType, programType } from './primitives';
import type { Type } from './primitives';

/** Types bound to type variables during one inference. */
class Substitution {
  private readonly bound: (Type | undefined)[] = [];

  public fresh(): Type {
    this.bound.push(undefined);
    return { kind: 'variable', id: this.bound.length - 1 };
  }

  /** Replaces all bound variables of a type. */
  public resolve(type: Type): Type {
    if (type.kind === 'arrow') {
      return functionType([this.resolve(type.parameter)], this.resolve(type.result));
    }
    const known = type.kind === 'variable' ? this.bound[type.id] : undefined;
    return known === undefined ? type : this.resolve(known);
  }

  /** Unifies two types (Robinson); returns false if they can't be equal. */
  public unify(left: Type, right: Type): boolean {
    const [a, b] = [this.shallow(left), this.shallow(right)];
    if (a.kind === 'variable' || b.kind === 'variable') {
      const [variable, other] = a.kind === 'variable' ? [a, b] : [b, a];
      if (variable.kind !== 'variable' || this.isSame(variable, other)) {
        return true;
      }
      if (this.occurs(variable.id, other)) {
        return false;
      }
      this.bound[variable.id] = other;
      return true;
    }
    return a.kind === 'arrow' && b.kind === 'arrow'
      ? this.unify(a.parameter, b.parameter) && this.unify(a.result, b.result)
      : a.kind === b.kind;
  }

  private shallow(type: Type): Type {
    let found = type;
    while (found.kind === 'variable') {
      const known = this.bound[found.id];
      if (known === undefined) {
        break;
      }
      found = known;
    }
    return found;
  }

  private isSame(variable: Type, other: Type): boolean {
    return variable.kind === 'variable' && other.kind === 'variable' && variable.id === other.id;
  }

  private occurs(id: number, type: Type): boolean {
    const found = this.shallow(type);
    return found.kind === 'arrow'
      ? this.occurs(id, found.parameter) || this.occurs(id, found.result)
      : found.kind === 'variable' && found.id === id;
  }
}

/**
 * Most general type of a closed term (Hindley–Milner; each symbol has one type without variables).
 * @param typeOf returns the type of a symbol
 * @throws Rejection if a function is applied to an argument of another type
 */
export function inferType(term: Term, typeOf: (name: string) => Type): Type {
  const substitution = new Substitution();

  const infer = (part: Term, variables: readonly Type[]): Type => {
    switch (part.kind) {
      case 'symbol':
        return typeOf(part.name);
      case 'variable': {
        const type = variables[part.index];
        if (type === undefined) {
          throw new Rejection('type-error', `$${part.index} is bound by no lambda.`);
        }
        return type;
      }
      case 'lambda': {
        const parameter = substitution.fresh();
        return functionType([parameter], infer(part.body, [parameter, ...variables]));
      }
      case 'application': {
        const applied = infer(part.function, variables);
        const argument = infer(part.argument, variables);
        const result = substitution.fresh();
        if (!substitution.unify(applied, functionType([argument], result))) {
          throw mismatch(part, substitution.resolve(applied), substitution.resolve(argument));
        }
        return result;
      }
    }
  };

  return substitution.resolve(infer(term, []));
}

function mismatch(
  { function: head, argument }: Extract<Term, { kind: 'application' }>,
  applied: Type,
  given: Type,
): Rejection {
  return new Rejection(
    'type-error',
    applied.kind === 'arrow'
      ? `${printTerm(head)} takes ${printType(applied.parameter)}, but ${printTerm(argument)} is ${printType(given)}.`
      : `${printTerm(head)} is ${printType(applied)} and takes no argument, but is applied to ${printTerm(argument)}.`,
  );
}

/** True if substituting the variables of the general type yields `instance`. */
export function isInstance(general: Type, instance: Type): boolean {
  const chosen = new Map<number, string>();
  const match = (pattern: Type, type: Type): boolean => {
    if (pattern.kind === 'variable') {
      const text = printType(type);
      const before = chosen.get(pattern.id) ?? text;
      chosen.set(pattern.id, before);
      return before === text;
    }
    return pattern.kind === 'arrow'
      ? type.kind === 'arrow' &&
          match(pattern.parameter, type.parameter) &&
          match(pattern.result, type.result)
      : type.kind === 'program';
  };
  return match(general, instance);
}

/** The type with every variable replaced by `T`. */
export function groundType(type: Type): Type {
  return type.kind === 'arrow'
    ? functionType([groundType(type.parameter)], groundType(type.result))
    : programType;
}
