/**
 * A type of the language (arXiv 2303.03340, released code). `T` is what a program is, a function from states to
 * states; states themselves never stand in a program, so that `T` has no parts here.
 */
export type Type =
  | { readonly kind: 'program' }
  | { readonly kind: 'arrow'; readonly parameter: Type; readonly result: Type }
  | { readonly kind: 'variable'; readonly id: number };

export const programType: Type = { kind: 'program' };

/** The type of a function of these parameters, curried. */
export function functionType(parameters: readonly Type[], result: Type): Type {
  return parameters.reduceRight<Type>(
    (rest, parameter) => ({ kind: 'arrow', parameter, result: rest }),
    result,
  );
}

/** The parameters a value of the type takes before it has a type that is not an arrow. */
export function parametersOf(type: Type): readonly Type[] {
  const parameters: Type[] = [];
  for (let rest = type; rest.kind === 'arrow'; rest = rest.result) {
    parameters.push(rest.parameter);
  }
  return parameters;
}

/** `(T -> T) -> T`; a type variable is `t0`. Two types are equal where their texts are. */
export function printType(type: Type): string {
  switch (type.kind) {
    case 'program':
      return 'T';
    case 'variable':
      return `t${type.id}`;
    case 'arrow': {
      const parameter = printType(type.parameter);
      const left = type.parameter.kind === 'arrow' ? `(${parameter})` : parameter;
      return `${left} -> ${printType(type.result)}`;
    }
  }
}
