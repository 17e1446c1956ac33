import { functionType, programType } from './type';
import type { Type } from './type';

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
