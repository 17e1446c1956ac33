import { inventionsInOrder, typeLookup } from '../language/library';
import type { Library } from '../language/library';
import { reduceTerm } from '../language/reduce';
import { Rejection } from '../language/rejection';
import { printTerm, termSize } from '../language/term';
import type { Term } from '../language/term';
import { functionType, parameterTypes, printType, programType } from '../language/primitives';
import type { Type } from '../language/primitives';
import { Corpus } from './corpus';
import { cheapestRewriting, rewrite } from './rewriting';
import type { Matches } from './rewriting';

/** Symbols of an expanded program above which it is only matched as written. */
const longestForm = 2000;

/** Expanded term of an invention; the variables of its lambdas are holes. */
interface Pattern {
  readonly name: string;
  readonly type: Type;
  readonly body: Term;
  /** Number of lambdas. */
  readonly arity: number;
}

/** Inventions of a library, indexed by their expanded terms. */
export class KnownInventions {
  private readonly names = new Map<string, string>();
  private readonly patterns: readonly Pattern[];

  public constructor(private readonly library: Library) {
    this.patterns = inventionsInOrder(library).flatMap(({ name, term, type }) => {
      const normal = normalForm(term, library);
      if (normal !== undefined) {
        this.names.set(typedKey(normal, type), name);
      }
      const bodies = normal === undefined ? [term] : [term, normal];
      return bodies.flatMap((body) => createPattern(name, type, body));
    });
  }

  /** Name of the invention with the same type that is equal after beta-reduction. */
  public findName(term: Term, type: Type): string | undefined {
    const normal = normalForm(term, this.library);
    return normal && this.names.get(typedKey(normal, type));
  }

  /**
   * Rewrites programs with inventions if that makes them cheaper: the search returns the program of least mass, which
   * often spells out an existing invention. Programs stay equal after beta-reduction.
   */
  public useIn(programs: readonly Term[]): readonly Term[] {
    if (this.patterns.length === 0) {
      return programs;
    }
    const normal = programs.map((program) => normalForm(program, this.library) ?? program);
    const corpus = new Corpus([...programs, ...normal], typeLookup(this.library));
    const matches = this.patterns.map((pattern) => findMatches(corpus, pattern));
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

const typedKey = (term: Term, type: Type): string => `${printTerm(term)}: ${printType(type)}`;

/** Expands inventions and beta-reduces; undefined if the result is too large. */
function normalForm(term: Term, library: Library): Term | undefined {
  try {
    const normal = reduceTerm(term, library);
    return termSize(normal) <= longestForm ? normal : undefined;
  } catch (error) {
    if (error instanceof Rejection) {
      return undefined;
    }
    throw error;
  }
}

/** Pattern of an invention; empty if a hole isn't identified by its position, since programs have no lambdas. */
function createPattern(name: string, type: Type, term: Term): Pattern[] {
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

/** Matches of an invention; the types of the arguments must agree with its type. */
function findMatches(corpus: Corpus, { body, arity, type }: Pattern): Matches {
  const parameters = parameterTypes(type);
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
