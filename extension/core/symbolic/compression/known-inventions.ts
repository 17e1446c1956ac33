import { inventionsInOrder, typesOf } from '../language/library';
import type { Library } from '../language/library';
import { reduceTerm } from '../language/reduce';
import { Rejection } from '../language/rejection';
import { printTerm, sizeOf } from '../language/term';
import type { Term } from '../language/term';
import { functionType, parametersOf, printType, programType } from '../language/type';
import type { Type } from '../language/type';
import { Corpus } from './corpus';
import { cheapestRewriting, rewrite } from './rewriting';
import type { Matches } from './rewriting';

/** Symbols of a program with its inventions replaced, beyond which it is only looked at as it stands. */
const longestForm = 2000;

/** What an invention stands for, variables of its lambdas being holes. */
interface Pattern {
  readonly name: string;
  readonly type: Type;
  readonly body: Term;
  /** Its lambdas. */
  readonly arity: number;
}

/** The inventions that a library has, told by what they stand for. */
export class KnownInventions {
  private readonly names = new Map<string, string>();
  private readonly patterns: readonly Pattern[];

  public constructor(private readonly library: Library) {
    this.patterns = inventionsInOrder(library).flatMap(({ name, term, type }) => {
      const normal = normalForm(term, library);
      if (normal !== undefined) {
        this.names.set(keyOf(normal, type), name);
      }
      const bodies = normal === undefined ? [term] : [term, normal];
      return bodies.flatMap((body) => patternOf(name, type, body));
    });
  }

  /** The invention that is the same term after beta-reduction, and of the same type. */
  public nameOf(term: Term, type: Type): string | undefined {
    const normal = normalForm(term, this.library);
    return normal && this.names.get(keyOf(normal, type));
  }

  /**
   * The programs, those written with inventions that become cheaper so: the search keeps the program of least
   * mass, which often spells out what the library has a name for. Every program stays equal after beta-reduction.
   */
  public useIn(programs: readonly Term[]): readonly Term[] {
    if (this.patterns.length === 0) {
      return programs;
    }
    const normal = programs.map((program) => normalForm(program, this.library) ?? program);
    const corpus = new Corpus([...programs, ...normal], typesOf(this.library));
    const matches = this.patterns.map((pattern) => matchesOf(corpus, pattern));
    const rewriting = cheapestRewriting(corpus, matches);
    const names = this.patterns.map(({ name }) => name);
    const written = rewrite(corpus, matches, rewriting, names);
    return programs.map((program, i) => {
      const [own = 0, other = 0] = [i, programs.length + i].map((at) => corpus.roots[at] ?? 0);
      const [plain = 0, replaced = 0] = [own, other].map((root) => rewriting.costs[root]);
      const isShorter = replaced < plain;
      return written[isShorter ? programs.length + i : i] ?? program;
    });
  }
}

const keyOf = (term: Term, type: Type): string => `${printTerm(term)}: ${printType(type)}`;

/** The term after beta-reduction, inventions replaced; undefined where that is too big. */
function normalForm(term: Term, library: Library): Term | undefined {
  try {
    const normal = reduceTerm(term, library);
    return sizeOf(normal) <= longestForm ? normal : undefined;
  } catch (error) {
    if (error instanceof Rejection) {
      return undefined;
    }
    throw error;
  }
}

/** Patterns can be found in programs, which have no lambdas, if each hole is told by where it stands. */
function patternOf(name: string, type: Type, term: Term): Pattern[] {
  let body = term;
  let arity = 0;
  for (; body.kind === 'lambda'; body = body.body) {
    arity++;
  }
  const holes = new Set<number>();
  const isPlain = (part: Term): boolean => {
    if (part.kind === 'variable') {
      holes.add(part.index);
    }
    return part.kind === 'application'
      ? isPlain(part.function) && isPlain(part.argument)
      : part.kind !== 'lambda';
  };
  return body.kind === 'application' && isPlain(body) && holes.size === arity
    ? [{ name, type, body, arity }]
    : [];
}

/** Where an invention can stand: it has one type, which its arguments are to have. */
function matchesOf(corpus: Corpus, { body, arity, type }: Pattern): Matches {
  const parameters = parametersOf(type);
  const wanted = parameters.slice(0, arity).map(printType);
  const result = printType(functionType(parameters.slice(arity), programType));
  const matches = new Map<number, readonly number[]>();
  const match = (pattern: Term, id: number, bound: number[]): boolean => {
    const node = corpus.node(id);
    if (pattern.kind === 'variable') {
      const hole = arity - 1 - pattern.index;
      return (bound[hole] ??= id) === id;
    }
    if (pattern.kind === 'application') {
      return (
        node.kind === 'application' &&
        match(pattern.function, node.head, bound) &&
        match(pattern.argument, node.argument, bound)
      );
    }
    return pattern.kind === 'symbol' && node.kind === 'symbol' && pattern.name === node.name;
  };
  corpus.nodes.forEach(({ typeName }, id) => {
    const bound: number[] = [];
    if (typeName === result && match(body, id, bound)) {
      if (bound.every((argument, i) => corpus.node(argument).typeName === wanted[i])) {
        matches.set(id, bound);
      }
    }
  });
  return matches;
}
