import type { SymbolicGraph } from '../../models/patch/symbolic-graph';
import { GraphClasses, SimpleGraph } from '../evaluation/isomorphism';
import { overrun } from '../evaluation/machine';
import type { Machine } from '../evaluation/machine';

/** Of a graph that is not kept. */
const notKept = -1;

/**
 * Tells programs' graphs apart up to isomorphism. Every graph that the machine knows is looked at once.
 */
export class ProgramGraphs {
  private readonly classes = new GraphClasses();
  /** By the machine's number of the graph. */
  private readonly classOfGraph: number[] = [];

  public constructor(private readonly machine: Machine) {}

  /** How many graphs there are. */
  public get size(): number {
    return this.classes.size;
  }

  /** The class of a program's graph; undefined where it has none that is kept. */
  public classOf(code: number): number | undefined {
    const state = this.machine.evaluate(code);
    if (state === overrun) {
      return undefined;
    }
    const { space } = this.machine;
    const graph = space.graphOf(state);
    const found = (this.classOfGraph[graph] ??= space.isKept(graph)
      ? this.classOfKept(space.describe(graph))
      : notKept);
    return found === notKept ? undefined : found;
  }

  public classOfKept(graph: SymbolicGraph): number {
    return this.classes.classOf(SimpleGraph.of(graph));
  }
}
