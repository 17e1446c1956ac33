import { GrowableArray } from '../evaluation/growable-array';
import type { Machine } from '../evaluation/machine';
import type { Library } from '../language/library';
import { maxProgramSize } from '../language/parse-program';
import { CostQueue } from './cost-queue';
import { costOf, leadsOf } from './costs';
import { grammarOf } from './grammar';

/** Programs that memory holds: some 30 bytes each, twice that while rows grow. */
export const maxPrograms = 20_000_000;
/** Programs that are made between two answers of {@link Enumeration.run}. */
const batchSize = 4096;

/** Where an enumeration is. */
export interface EnumerationProgress {
  /** Whole programs so far. */
  readonly count: number;
  /** What the programs cost that are being made, in units. */
  readonly cost: number;
}

/** All programs of a pool that have one cost: a range of them. */
interface Level {
  readonly cost: number;
  readonly from: number;
  readonly to: number;
}

/** A production with its pools at hand. */
interface Rule {
  /** The entry's number in codes. */
  readonly symbol: number;
  readonly cost: number;
  readonly args: readonly Pool[];
}

/** All programs of a rule whose arguments are of given levels. They have one cost. */
interface Family {
  readonly rule: Rule;
  /** Index of the level of every argument. */
  readonly levels: readonly number[];
  /** The argument whose level rose last. Only it and those after it rise further: no family comes twice. */
  readonly risen: number;
  readonly cost: number;
}

/** A family whose arguments' levels may not be known yet. */
type NewFamily = Omit<Family, 'cost'>;

/** The programs of a nonterminal that there are so far. */
class Pool {
  /** Codes, in order of cost. */
  public readonly programs = new GrowableArray();
  /** Symbols of each program. */
  public readonly sizes = new GrowableArray();
  public readonly levels: Level[] = [];
  public readonly queue = new CostQueue<Family>();
  /** Families, and whose they are, that need this pool's next level. */
  public waiting: { readonly pool: Pool; readonly family: NewFamily }[] = [];

  public constructor(
    /** The least that the rest of a whole program costs around a program of this pool. */
    public readonly lead: number,
  ) {}

  public add(code: number, size: number): void {
    this.programs.push(code);
    this.sizes.push(size);
  }

  /** How much whole programs cost when this pool's next level is needed. */
  public get urgency(): number {
    return this.queue.lowest + this.lead;
  }
}

/**
 * Every program of a library once, in order of non-increasing likelihood: of cost, the negative sum of log-weights.
 *
 * Heap search (Fijalkow et al. 2022, arXiv 2110.12485) holds programs in its heaps. Here a heap holds families of
 * programs of equal cost, so that a program takes no more than writing down its symbol and arguments.
 */
export class Enumeration {
  /** One for every nonterminal; the first has the whole programs. */
  private readonly pools: readonly Pool[];
  private readonly whole: Pool;
  private made = 0;

  public constructor(
    library: Library,
    private readonly machine: Machine,
  ) {
    const grammar = grammarOf(library);
    this.whole = new Pool(0);
    this.pools = leadsOf(grammar).map((lead, index) => (index === 0 ? this.whole : new Pool(lead)));
    grammar.forEach(({ productions }, index) => {
      for (const { entry, args } of productions) {
        const rule = {
          symbol: machine.symbolOf(entry.name),
          cost: costOf(entry.logWeight),
          args: args.map((argument) => this.pool(argument)),
        };
        this.enqueue(this.pool(index), { rule, levels: args.map(() => 0), risen: 0 });
      }
    });
  }

  /** Codes of whole programs, in the order they came. */
  public get programs(): GrowableArray {
    return this.whole.programs;
  }

  /** Symbols of a whole program. */
  public sizeOf(program: number): number {
    return this.whole.sizes.at(program);
  }

  /** How many whole programs cost `cost` units at most, of those there are. */
  public countBelow(cost: number): number {
    return this.whole.levels.findLast((level) => level.cost <= cost)?.to ?? 0;
  }

  /**
   * Makes programs without end, or until the grammar has no more, and answers after every few thousand.
   */
  public *run(): Generator<EnumerationProgress, void> {
    for (;;) {
      const pool = this.next();
      const cost = pool.queue.lowest;
      if (cost === Infinity) {
        yield { count: this.whole.programs.length, cost };
        return;
      }
      const from = pool.programs.length;
      const risen: NewFamily[] = [];
      while (pool.queue.lowest === cost) {
        const family = pool.queue.pop();
        if (family !== undefined) {
          yield* this.write(pool, family);
          risen.push(...successors(family));
        }
      }
      if (pool.programs.length > from) {
        pool.levels.push({ cost, from, to: pool.programs.length });
        this.release(pool);
      }
      for (const family of risen) {
        this.enqueue(pool, family);
      }
    }
  }

  /**
   * The pool whose next level is needed first. Of two that are needed at the same cost the one with the larger lead
   * may be what the other's families wait for.
   */
  private next(): Pool {
    return this.pools.reduce((best, pool) =>
      pool.urgency < best.urgency || (pool.urgency === best.urgency && pool.lead > best.lead)
        ? pool
        : best,
    );
  }

  private pool(index: number): Pool {
    return this.pools[index] ?? this.whole;
  }

  /** Queues a family of the pool, or has it wait for the first level that is not known yet. */
  private enqueue(pool: Pool, family: NewFamily): void {
    let { cost } = family.rule;
    for (const [position, argument] of family.rule.args.entries()) {
      const level = argument.levels[family.levels[position] ?? 0];
      if (level === undefined) {
        argument.waiting.push({ pool, family });
        return;
      }
      cost += level.cost;
    }
    pool.queue.push({ ...family, cost });
  }

  /** Queues what waited for the pool's last level. */
  private release(pool: Pool): void {
    const { waiting } = pool;
    pool.waiting = [];
    for (const { pool: target, family } of waiting) {
      this.enqueue(target, family);
    }
  }

  /** Writes a family's programs down, all combinations of its arguments; answers after every batch. */
  private *write(pool: Pool, { rule, levels, cost }: Family): Generator<EnumerationProgress, void> {
    const ranges = rule.args.map((argument, position) => ({
      programs: argument.programs,
      sizes: argument.sizes,
      ...(argument.levels[levels[position] ?? 0] ?? { from: 0, to: 0 }),
    }));
    const last = ranges.pop();
    if (last === undefined) {
      pool.add(this.machine.code.add(rule.symbol, []), 1);
      return;
    }
    const chosen = ranges.map(({ from }) => from);
    for (;;) {
      const before = ranges.map(({ programs }, position) => programs.at(chosen[position] ?? 0));
      const size = ranges.reduce((sum, { sizes }, i) => sum + sizes.at(chosen[i] ?? 0), 1);
      for (let from = last.from; from < last.to; from += batchSize) {
        const to = Math.min(last.to, from + batchSize);
        this.writeRow(pool, rule.symbol, before, size, last, from, to);
        this.made += to - from;
        if (this.made >= batchSize) {
          this.made = 0;
          yield { count: this.whole.programs.length, cost };
        }
      }
      let position = ranges.length - 1;
      for (; position >= 0; position--) {
        const next = (chosen[position] ?? 0) + 1;
        const range = ranges[position];
        const isOver = range === undefined || next === range.to;
        chosen[position] = isOver ? (range?.from ?? 0) : next;
        if (!isOver) {
          break;
        }
      }
      if (position < 0) {
        return;
      }
    }
  }

  /** Writes the programs down that differ in their last argument alone. */
  private writeRow(
    pool: Pool,
    symbol: number,
    before: readonly number[],
    size: number,
    last: { readonly programs: GrowableArray; readonly sizes: GrowableArray },
    from: number,
    to: number,
  ): void {
    const { code } = this.machine;
    for (let i = from; i < to; i++) {
      const sum = size + last.sizes.at(i);
      if (sum <= maxProgramSize) {
        pool.add(code.addWithLast(symbol, before, last.programs.at(i)), sum);
      }
    }
  }
}

/** The families that follow one: one argument is of its next level. */
function successors({ rule, levels, risen }: Family): NewFamily[] {
  return levels.slice(risen).map((level, offset) => ({
    rule,
    levels: levels.with(risen + offset, level + 1),
    risen: risen + offset,
  }));
}
