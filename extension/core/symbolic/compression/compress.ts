import type { JobContext, Cancellation } from '../../jobs/job';
import { typeLookup, withInvention } from '../language/library';
import type { Library } from '../language/library';
import type { Term } from '../language/term';
import { Corpus, applicationCost, symbolCost } from './corpus';
import { KnownInventions } from './known-inventions';
import { rewrite, cheapestRewriting, totalSavings } from './rewriting';
import { say } from '../../message';
import { checkpoint } from '../../jobs/job';
import { symbol } from '../language/term';
import { functionType } from '../language/primitives';
import type { Type } from '../language/primitives';
import { CostQueue } from '../search/enumeration';
import type { Matches, Rewriting } from './rewriting';

export interface CompressOptions {
  /** Maximum number of abstractions. */
  readonly iterations?: number;
  /** Maximum number of holes of an abstraction. */
  readonly arity?: number;
}

/** Result of learning inventions from programs: the new library, and the programs rewritten with it. */
export interface Compression {
  /** New inventions followed by the old entries, with uniform weights; the original library if there are none. */
  readonly library: Library;
  /** The programs rewritten with the inventions, in the same order. */
  readonly programs: readonly Term[];
  /** New inventions in the order they were learned. */
  readonly inventions: readonly LearnedInvention[];
}

export interface LearnedInvention {
  readonly name: string;
  readonly term: Term;
  /** Cost saved in the programs, minus the cost of the invention's body. */
  readonly utility: number;
}

const defaultIterations = 3;
const defaultArity = 2;

/**
 * Learns inventions from programs, each the abstraction of highest utility that at least two programs share, and
 * rewrites the programs with them. Existing inventions of the library are used and not learned again. Programs keep
 * their graphs.
 * @throws CancelledError
 */
export async function compress(
  library: Library,
  programs: readonly Term[],
  { iterations = defaultIterations, arity = defaultArity }: CompressOptions,
  context: JobContext,
): Promise<Compression> {
  const inventions: LearnedInvention[] = [];
  let state = { library, programs: new KnownInventions(library).useIn(programs) };
  while (inventions.length < iterations) {
    context.progress({
      stage: say`Learning inventions`,
      done: inventions.length,
      total: iterations,
      unit: 'steps',
    });
    const corpus = new Corpus(state.programs, typeLookup(state.library));
    const best = await bestAbstraction(corpus, arity, context.cancellation);
    if (best === undefined) {
      break;
    }
    const { term, type, utility, matches, rewriting } = best;
    const known = new KnownInventions(state.library).findName(term, type);
    const name = known ?? freeName(state.library);
    const written = rewrite(corpus, [matches], rewriting, [name]);
    if (known === undefined) {
      inventions.push({ name, term, utility });
      state = { library: withInvention(state.library, name, term, type), programs: written };
    } else {
      state = { ...state, programs: written };
    }
  }
  return { ...state, inventions };
}

/** `fn_` and the number after the largest used one. */
function freeName({ entries }: Library): string {
  const numbers = entries.flatMap(({ name }) => /^fn_(\d+)$/.exec(name)?.[1] ?? []).map(Number);
  return `fn_${Math.max(-1, ...numbers) + 1}`;
}

/** A term with holes that several programs share. */
interface Abstraction {
  /** Closed term: one lambda per hole. */
  readonly term: Term;
  readonly type: Type;
  /** Cost saved in the programs, minus the cost of its body. */
  readonly utility: number;
  readonly matches: Matches;
  readonly rewriting: Rewriting;
}

/** Next token of a pattern, in prefix order. */
type Token =
  | { readonly kind: 'symbol'; readonly name: string }
  | { readonly kind: 'application' }
  | { readonly kind: 'hole'; readonly index: number };

/**
 * Prefix of a pattern, and its matches. A column has one node per match.
 */
interface Pattern {
  readonly tokens: readonly Token[];
  /** Nodes that it matches. */
  readonly matches: readonly number[];
  /** Columns of the positions that are still open, the next one last. */
  readonly open: readonly (readonly number[])[];
  /** Columns of the arguments. */
  readonly holes: readonly (readonly number[])[];
  /** Cost of the tokens; holes are free. */
  readonly bodyCost: number;
  /** Negative upper bound of the utility of every pattern with this prefix. */
  readonly cost: number;
}

/** Patterns expanded between two checks for cancellation. */
const batchSize = 2000;

/**
 * Abstraction of highest utility with at most `arity` holes, which may be functions and may be used more than once;
 * undefined if no utility is above 0. Top-down best-first search with an upper bound (Bowers et al. 2023,
 * arXiv 2211.16605): at each match, a pattern with this prefix saves at most the cost of the matched node, minus the
 * use of the abstraction and its arguments.
 * @throws CancelledError
 */
export async function bestAbstraction(
  corpus: Corpus,
  arity: number,
  cancellation: Cancellation,
): Promise<Abstraction | undefined> {
  const queue = new CostQueue<Pattern>();
  const all = corpus.nodes.map((_, id) => id);
  queue.push({ tokens: [], matches: all, open: [all], holes: [], bodyCost: 0, cost: -Infinity });
  let best: Abstraction | undefined;
  for (let looked = 1; -queue.lowest > (best?.utility ?? 0); looked++) {
    const pattern = queue.pop();
    if (pattern === undefined) {
      break;
    }
    if (looked % batchSize === 0) {
      await checkpoint(cancellation);
    }
    for (const next of expand(corpus, pattern, arity)) {
      if (-next.cost <= (best?.utility ?? 0)) {
        continue;
      }
      if (next.open.length > 0) {
        queue.push(next);
        continue;
      }
      for (const abstraction of finish(corpus, next)) {
        if (abstraction.utility > (best?.utility ?? 0)) {
          best = abstraction;
        }
      }
    }
  }
  return best;
}

/** Extends a pattern by one token; returns those that match in at least two programs. */
function expand(corpus: Corpus, pattern: Pattern, arity: number): Pattern[] {
  const open = pattern.open.slice(0, -1);
  const column = pattern.open.at(-1) ?? [];
  const { tokens, holes, bodyCost } = pattern;
  const rowsByKey = new Map<string, number[]>();
  column.forEach((id, row) => {
    const node = corpus.node(id);
    const key = node.kind === 'symbol' ? node.name : '';
    const rows = rowsByKey.get(key) ?? [];
    rows.push(row);
    rowsByKey.set(key, rows);
  });
  const expanded: Pattern[] = [];
  const add = (rows: readonly number[], next: Omit<Pattern, 'matches' | 'cost'>): void => {
    const pick = (values: readonly number[]): readonly number[] =>
      rows.map((row) => values[row] ?? 0);
    const matches = pick(pattern.matches);
    if (corpus.isShared(matches)) {
      const picked = { ...next, matches, open: next.open.map(pick), holes: next.holes.map(pick) };
      expanded.push({ ...picked, cost: -utilityBound(corpus, picked) });
    }
  };
  for (const [name, rows] of rowsByKey) {
    if (name === '') {
      const parts = column.map((id) => {
        const node = corpus.node(id);
        return node.kind === 'application' ? node : { head: id, argument: id };
      });
      add(rows, {
        tokens: [...tokens, { kind: 'application' }],
        open: [...open, parts.map(({ argument }) => argument), parts.map(({ head }) => head)],
        holes,
        bodyCost: bodyCost + applicationCost,
      });
    } else {
      const token = { kind: 'symbol', name } as const;
      add(rows, { tokens: [...tokens, token], open, holes, bodyCost: bodyCost + symbolCost });
    }
  }
  const rows = column.map((_, row) => row);
  holes.forEach((hole, index) => {
    const same = rows.filter((row) => hole[row] === column[row]);
    add(same, { tokens: [...tokens, { kind: 'hole', index }], open, holes, bodyCost });
  });
  if (holes.length < arity && tokens.length > 0) {
    const token = { kind: 'hole', index: holes.length } as const;
    add(rows, { tokens: [...tokens, token], open, holes: [...holes, column], bodyCost });
  }
  return expanded;
}

function utilityBound(corpus: Corpus, { matches, holes, bodyCost }: Omit<Pattern, 'cost'>): number {
  let bound = -bodyCost;
  matches.forEach((id, row) => {
    let saved = corpus.node(id).cost - symbolCost;
    for (const hole of holes) {
      saved -= applicationCost + corpus.node(hole[row] ?? 0).cost;
    }
    bound += Math.max(0, saved) * (corpus.uses[id] ?? 0);
  });
  return bound;
}

/**
 * Abstractions of a complete pattern: one per combination of types among its matches, since an invention has one type.
 */
function finish(corpus: Corpus, { tokens, matches, holes, bodyCost }: Pattern): Abstraction[] {
  const byType = new Map<string, Map<number, readonly number[]>>();
  matches.forEach((id, row) => {
    const args = holes.map((hole) => hole[row] ?? 0);
    const types = [id, ...args].map((node) => corpus.node(node).typeName).join(', ');
    const typed = byType.get(types) ?? new Map<number, readonly number[]>();
    typed.set(id, args);
    byType.set(types, typed);
  });
  return [...byType.values()].flatMap((typed) => {
    const [[result, args] = [0, []]] = typed;
    if (!corpus.isShared(typed.keys())) {
      return [];
    }
    const rewriting = cheapestRewriting(corpus, [typed]);
    return {
      term: buildTerm(tokens, holes.length),
      type: functionType(
        args.map((id) => corpus.node(id).type),
        corpus.node(result).type,
      ),
      utility: totalSavings(corpus, rewriting) - bodyCost,
      matches: typed,
      rewriting,
    };
  });
}

/** Closed term of a pattern; its first hole is the first argument. */
function buildTerm(tokens: readonly Token[], arity: number): Term {
  let next = 0;
  const read = (): Term => {
    const token = tokens[next++];
    switch (token?.kind) {
      case 'symbol':
        return symbol(token.name);
      case 'hole':
        return { kind: 'variable', index: arity - 1 - token.index };
      case 'application': {
        const head = read();
        return { kind: 'application', function: head, argument: read() };
      }
      case undefined:
        throw new Error('The pattern is not whole.');
    }
  };
  let term = read();
  for (let i = 0; i < arity; i++) {
    term = { kind: 'lambda', body: term };
  }
  return term;
}
