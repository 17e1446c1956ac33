import type { SymbolicGraph } from '../../models/patch/symbolic-graph';
import type { Term } from '../language/term';

/** A graph, and the program of lowest unreduced mass that is known to build it. */
export interface PopulationMember {
  readonly graph: SymbolicGraph;
  readonly program: Term;
  /** Unreduced: symbols and bound variables with every invention replaced by its term. */
  readonly mass: number;
}
