import type { SymbolicGraph } from '../../models/patch/symbolic-graph';
import { Rejection } from '../language/rejection';
import type { Term } from '../language/term';
import { overrun } from './machine';
import type { Machine } from './machine';

/**
 * Graph that a program of type `T` builds.
 * @throws Rejection if evaluation exceeds its step limit, or the graph isn't a valid result
 */
export function evaluateProgram(program: Term, machine: Machine): SymbolicGraph {
  const { space } = machine;
  const state = machine.evaluate(machine.compile(program));
  if (state === overrun) {
    throw new Rejection('step-limit', 'The program takes too many steps.');
  }
  const graph = space.graphOf(state);
  if (space.componentCount(graph) > 1) {
    throw new Rejection('components-2', 'The last node that was added is not connected.');
  }
  if (space.nodeCount(graph) === 1) {
    throw new Rejection('size-1', 'The graph has a single node.');
  }
  return space.describe(graph);
}
