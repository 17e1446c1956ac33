import { evaluateProgram } from '../evaluation/evaluate-program';
import { GraphClasses, SimpleGraph } from '../evaluation/isomorphism';
import { Machine, overrun } from '../evaluation/machine';
import { checkpoint } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import type { Library } from '../language/library';
import { massesOf } from '../language/mass';
import { symbol } from '../language/term';
import { Enumeration } from './enumeration';
import type { PopulationMember } from './population';

export interface ExploreOptions {
  /** Members of the population at most; the preserved count. */
  readonly quota: number;
  /** Programs to enumerate: stands for the 15 s of the released code, but repeats. */
  readonly programLimit: number;
  /** Members that stay. Their programs may be replaced by lighter ones. */
  readonly preserved?: readonly PopulationMember[];
}

export interface Exploration {
  /** The preserved in their order, then the new in the order they were found. */
  readonly population: readonly PopulationMember[];
  /** Programs looked at. */
  readonly enumerated: number;
  /** Members that were not preserved. */
  readonly added: number;
  /** Preserved members whose program gave way to one of lower mass. */
  readonly replaced: number;
}

/** Of a graph: it is not kept. Other graphs have the class of those isomorphic to them. */
const notKept = -1;

/**
 * Enumerates programs in order of likelihood and keeps one of lowest unreduced mass for every graph (up to
 * isomorphism), until the population has `quota` members; from then on programs are only replaced.
 * @throws CancelledError; Rejection where a preserved program is none of the library.
 */
export async function explore(
  library: Library,
  { quota, programLimit, preserved = [] }: ExploreOptions,
  context: JobContext,
): Promise<Exploration> {
  const machine = new Machine(library);
  const massOf = massesOf(library);
  const symbolMasses: number[] = [];
  for (const { name } of library.entries) {
    symbolMasses[machine.symbolOf(name)] = massOf(symbol(name));
  }
  const classes = new GraphClasses();
  /** Members by the class of their graph. */
  const members = new Map<number, PopulationMember>();
  for (const member of preserved) {
    members.set(classes.classOf(SimpleGraph.of(evaluateProgram(member.program, machine))), member);
  }
  const classOfGraph: number[] = [];
  let enumerated = 0;

  const massOfCode = (code: number): number => {
    let mass = symbolMasses[machine.code.operation(code)] ?? 1;
    for (let i = machine.code.argumentCount(code) - 1; i >= 0; i--) {
      mass += massOfCode(machine.code.argument(code, i));
    }
    return mass;
  };

  const consider = (code: number): void => {
    const state = machine.evaluate(code);
    if (state === overrun) {
      return;
    }
    const graph = machine.space.graphOf(state);
    const found = (classOfGraph[graph] ??= machine.isKept(graph)
      ? classes.classOf(SimpleGraph.of(machine.space.describe(graph)))
      : notKept);
    if (found === notKept) {
      return;
    }
    const member = members.get(found);
    if (member === undefined && members.size >= quota) {
      return;
    }
    const mass = massOfCode(code);
    if (member === undefined || mass < member.mass) {
      const program = machine.termOf(code);
      members.set(found, { graph: machine.space.describe(graph), program, mass });
    }
  };

  const enumeration = new Enumeration(library, machine);
  for (const { count } of enumeration.run()) {
    const until = Math.min(count, programLimit);
    for (; enumerated < until; enumerated++) {
      consider(enumeration.programs.at(enumerated));
    }
    context.progress({
      stage: 'Enumerating programs',
      done: enumerated,
      total: programLimit,
      unit: 'programs',
    });
    await checkpoint(context.cancellation);
    if (enumerated === programLimit) {
      break;
    }
  }
  const population = [...members.values()];
  return {
    population,
    enumerated,
    added: population.length - preserved.length,
    replaced: preserved.filter((member) => !population.includes(member)).length,
  };
}
