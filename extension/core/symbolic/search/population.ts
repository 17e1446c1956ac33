import type { SymbolicGraph } from '../../models/patch/symbolic-graph';
import type { Term } from '../language/term';

/** Graph with the known program of least unreduced mass that builds it. */
export interface PopulationMember {
  readonly graph: SymbolicGraph;
  readonly program: Term;
  /** Unreduced mass: number of symbols and bound variables with expanded inventions. */
  readonly mass: number;
}
