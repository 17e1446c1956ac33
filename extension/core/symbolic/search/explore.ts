import { evaluateProgram, Machine } from '../evaluation/machine';
import { checkpoint } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import { UserError } from '../../user-error';
import type { Library } from '../language/library';
import { createMass } from '../language/reduce';
import { symbol } from '../language/term';
import { Enumeration, maxPrograms } from './enumeration';
import type { PopulationMember } from './refit';
import { ProgramGraphs } from './enumerate-by-size';
import { say } from '../../message';

export interface ExploreOptions {
  /** Maximum size of the population, including preserved members. */
  readonly quota: number;
  /** Number of programs to enumerate; replaces the 15 s of the released code, but is deterministic. */
  readonly programLimit: number;
  /** Members to keep; their programs must use the library. Programs of lower mass may replace theirs. */
  readonly preserved?: readonly PopulationMember[];
}

export interface Exploration {
  /** Preserved members in their order, then new ones in the order they were found. */
  readonly population: readonly PopulationMember[];
  /** Number of enumerated programs. */
  readonly enumerated: number;
  /** Number of new members. */
  readonly added: number;
  /** Preserved members whose program was replaced by one of lower mass. */
  readonly replaced: number;
}

/**
 * Enumerates programs in order of likelihood and keeps one of least unreduced mass for every graph (up to isomorphism)
 * until the population has `quota` members; after that, programs are only replaced.
 * @throws UserError if the limit is too high; CancelledError
 */
export async function explore(
  library: Library,
  { quota, programLimit, preserved = [] }: ExploreOptions,
  context: JobContext,
): Promise<Exploration> {
  if (programLimit > maxPrograms) {
    throw new UserError(
      'programs-too-many',
      say`At most ${maxPrograms} programs fit in memory, not ${programLimit}.`,
      { remedy: say`Choose a lower limit for programs.` },
    );
  }
  const machine = new Machine(library);
  const programMass = createMass(library);
  const symbolMasses: number[] = [];
  for (const { name } of library.entries) {
    symbolMasses[machine.symbolOf(name)] = programMass(symbol(name));
  }
  const graphs = new ProgramGraphs(machine);
  /** Members by the class of their graph. */
  const members = new Map<number, PopulationMember>();
  for (const member of preserved) {
    const mass = programMass(member.program);
    members.set(graphs.classOfKept(member.graph), { ...member, mass });
  }
  const initial = [...members.values()];

  const codeMass = (code: number): number => {
    let mass = symbolMasses[machine.code.operation(code)] ?? 1;
    for (let i = machine.code.argumentCount(code) - 1; i >= 0; i--) {
      mass += codeMass(machine.code.argument(code, i));
    }
    return mass;
  };

  const consider = (code: number): void => {
    const found = graphs.classOf(code);
    const member = found === undefined ? undefined : members.get(found);
    if (found === undefined || (member === undefined && members.size >= quota)) {
      return;
    }
    const mass = codeMass(code);
    if (member === undefined || mass < member.mass) {
      const program = machine.termOf(code);
      members.set(found, { graph: evaluateProgram(program, machine), program, mass });
    }
  };

  let enumerated = 0;
  const enumeration = new Enumeration(library, machine);
  for (const { count } of enumeration.run()) {
    const until = Math.min(count, programLimit);
    for (; enumerated < until; enumerated++) {
      consider(enumeration.programs.at(enumerated));
    }
    context.progress({
      stage: say`Enumerating programs`,
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
    added: population.length - initial.length,
    replaced: initial.filter((member) => !population.includes(member)).length,
  };
}
