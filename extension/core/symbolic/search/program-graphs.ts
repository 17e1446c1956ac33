import type { SymbolicGraph } from '../../models/patch/symbolic-graph';
import { GraphClasses, SimpleGraph } from '../evaluation/isomorphism';
import { overrun } from '../evaluation/machine';
import type { Machine } from '../evaluation/machine';

/** Class of a graph that isn't a valid result. */
const notKept = -1;

/**
 * Classifies programs' graphs up to isomorphism. Every graph of the machine is classified once.
 */
export class ProgramGraphs {
  private readonly classes = new GraphClasses();
  /** Class by the machine's graph id. */
  private readonly classOfGraph: number[] = [];

  public constructor(private readonly machine: Machine) {}

  /** Number of distinct graphs. */
  public get size(): number {
    return this.classes.size;
  }

  /** Class of a program's graph; undefined if the graph isn't a valid result. */
  public classOf(code: number): number | undefined {
    const state = this.machine.evaluate(code);
    if (state === overrun) {
      return undefined;
    }
    const { space } = this.machine;
    const graph = space.graphOf(state);
    const found = (this.classOfGraph[graph] ??= space.isResult(graph)
      ? this.classOfKept(space.describe(graph))
      : notKept);
    return found === notKept ? undefined : found;
  }

  public classOfKept(graph: SymbolicGraph): number {
    return this.classes.classOf(SimpleGraph.of(graph));
  }
}
