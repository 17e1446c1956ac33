/**
 * Names of the primitives. All except `identity` act on a state and then run their continuation, so the outermost acts
 * first.
 */
export const primitiveNames = [
  'identity',
  'next_port',
  'prev_port',
  'push',
  'move',
  'add',
  'connect',
  'pop',
  'func',
  'if_positions_equal',
] as const;

export type PrimitiveName = (typeof primitiveNames)[number];

const parameterCounts: Readonly<Record<PrimitiveName, number>> = {
  identity: 0,
  next_port: 1,
  prev_port: 1,
  push: 1,
  move: 1,
  add: 1,
  connect: 1,
  pop: 1,
  func: 2,
  if_positions_equal: 5,
};

/** `T`, `T -> T`, … */
export function primitiveType(name: PrimitiveName): Type {
  return functionType(Array<Type>(parameterCounts[name]).fill(programType), programType);
}

export function isPrimitive(name: string): name is PrimitiveName {
  return (primitiveNames as readonly string[]).includes(name);
}

/**
 * Type of the language (arXiv 2303.03340, released code). `T` is the type of programs, functions from states to states.
 * States aren't values of the language, so `T` is atomic here.
 */
export type Type =
  | { readonly kind: 'program' }
  | { readonly kind: 'arrow'; readonly parameter: Type; readonly result: Type }
  | { readonly kind: 'variable'; readonly id: number };

export const programType: Type = { kind: 'program' };

/** Type of a curried function with these parameters. */
export function functionType(parameters: readonly Type[], result: Type): Type {
  return parameters.reduceRight<Type>(
    (rest, parameter) => ({ kind: 'arrow', parameter, result: rest }),
    result,
  );
}

/** Parameters of a curried function type. */
export function parameterTypes(type: Type): readonly Type[] {
  const parameters: Type[] = [];
  for (let rest = type; rest.kind === 'arrow'; rest = rest.result) {
    parameters.push(rest.parameter);
  }
  return parameters;
}

/** Prints a type, such as `(T -> T) -> T`; type variables are `t0`, … Types are equal if their texts are equal. */
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
