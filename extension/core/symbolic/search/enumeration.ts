import { GrowableArray } from '../evaluation/state-space';
import type { Machine } from '../evaluation/machine';
import type { Library } from '../language/library';
import { maxProgramSize } from '../language/parse-term';
import { weightCost, computeLeads, createGrammar } from './grammar';

/** Maximum number of programs: about 30 bytes each, twice that while arrays grow. */
export const maxPrograms = 20_000_000;
/** Programs created between two results of {@link Enumeration.run}. */
const batchSize = 4096;

/** Progress of an enumeration. */
export interface EnumerationProgress {
  /** Number of whole programs so far. */
  readonly count: number;
  /** Cost of the programs being created, in units. */
  readonly cost: number;
}

/** Range of all programs of a pool with the same cost. */
interface Level {
  readonly cost: number;
  readonly from: number;
  readonly to: number;
}

/** A production with its pools. */
interface Rule {
  /** Index of the entry in codes. */
  readonly symbol: number;
  readonly cost: number;
  readonly args: readonly Pool[];
}

/** Programs of a rule whose arguments have given levels, and therefore the same cost. */
interface Family {
  readonly rule: Rule;
  /** Level index of every argument. */
  readonly levels: readonly number[];
  /** Argument whose level was raised last. Only it and later ones are raised further, so no family is created twice. */
  readonly risen: number;
  readonly cost: number;
}

/** Family whose arguments' levels may not exist yet. */
type NewFamily = Omit<Family, 'cost'>;

/** Programs of a nonterminal created so far. */
class Pool {
  /** Codes, in order of cost. */
  public readonly programs = new GrowableArray();
  /** Number of symbols of each program. */
  public readonly sizes = new GrowableArray();
  public readonly levels: Level[] = [];
  public readonly queue = new CostQueue<Family>();
  /** Families that wait for this pool's next level, with their pools. */
  public waiting: { readonly pool: Pool; readonly family: NewFamily }[] = [];

  public constructor(
    /** Minimum cost of the rest of a whole program around a program of this pool. */
    public readonly lead: number,
  ) {}

  public add(code: number, size: number): void {
    this.programs.push(code);
    this.sizes.push(size);
  }

  /** Cost of the whole programs that need this pool's next level. */
  public get urgency(): number {
    return this.queue.lowest + this.lead;
  }
}

/**
 * Enumerates every program of a library once, in order of decreasing likelihood (increasing cost, the negative sum of
 * log-weights).
 *
 * Heap search (Fijalkow et al. 2022, arXiv 2110.12485) stores programs in its heaps. Here a heap stores families of
 * programs of equal cost, so a program costs no more than writing its symbol and arguments.
 */
export class Enumeration {
  /** One pool per nonterminal; the first contains the whole programs. */
  private readonly pools: readonly Pool[];
  private readonly whole: Pool;
  private made = 0;

  public constructor(
    library: Library,
    private readonly machine: Machine,
  ) {
    const grammar = createGrammar(library);
    this.whole = new Pool(0);
    this.pools = computeLeads(grammar).map((lead, index) =>
      index === 0 ? this.whole : new Pool(lead),
    );
    grammar.forEach(({ productions }, index) => {
      for (const { entry, args } of productions) {
        const rule = {
          symbol: machine.symbolOf(entry.name),
          cost: weightCost(entry.logWeight),
          args: args.map((argument) => this.pool(argument)),
        };
        this.enqueue(this.pool(index), { rule, levels: args.map(() => 0), risen: 0 });
      }
    });
  }

  /** Codes of whole programs, in order of creation. */
  public get programs(): GrowableArray {
    return this.whole.programs;
  }

  /** Number of symbols of a whole program. */
  public sizeOf(program: number): number {
    return this.whole.sizes.at(program);
  }

  /** Number of whole programs so far that cost at most `cost` units. */
  public countBelow(cost: number): number {
    return this.whole.levels.findLast((level) => level.cost <= cost)?.to ?? 0;
  }

  /**
   * Creates programs until the grammar has no more, and yields after every few thousand.
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
   * Pool whose next level is needed first. For equal costs, the one with the larger lead, which the other's families
   * may wait for.
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

  /** Queues a family of the pool, or adds it to the waiting list of the first missing level. */
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

  /** Queues the families that waited for the pool's last level. */
  private release(pool: Pool): void {
    const { waiting } = pool;
    pool.waiting = [];
    for (const { pool: target, family } of waiting) {
      this.enqueue(target, family);
    }
  }

  /** Writes a family's programs, all combinations of its arguments; yields after every batch. */
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

  /** Writes the programs that differ in their last argument only. */
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

/** Successors of a family: one argument has its next level. */
function successors({ rule, levels, risen }: Family): NewFamily[] {
  return levels.slice(risen).map((level, offset) => ({
    rule,
    levels: levels.with(risen + offset, level + 1),
    risen: risen + offset,
  }));
}

/** Binary heap: returns items in order of cost, lowest first. */
export class CostQueue<Item extends { readonly cost: number }> {
  private readonly items: Item[] = [];

  /** Lowest cost; infinite if empty. */
  public get lowest(): number {
    return this.items[0]?.cost ?? Infinity;
  }

  public push(item: Item): void {
    let at = this.items.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = this.items[parent];
      if (above === undefined || above.cost <= item.cost) {
        break;
      }
      this.items[at] = above;
      at = parent;
    }
    this.items[at] = item;
  }

  public pop(): Item | undefined {
    const [first] = this.items;
    const last = this.items.pop();
    if (last !== undefined && this.items.length > 0) {
      this.sink(last);
    }
    return first;
  }

  /** Inserts an item at the root and sinks it below all cheaper items. */
  private sink(item: Item): void {
    let at = 0;
    for (;;) {
      const [left, right] = [this.items[2 * at + 1], this.items[2 * at + 2]];
      const isRight = right !== undefined && left !== undefined && right.cost < left.cost;
      const child = isRight ? right : left;
      if (child === undefined || child.cost >= item.cost) {
        break;
      }
      this.items[at] = child;
      at = 2 * at + (isRight ? 2 : 1);
    }
    this.items[at] = item;
  }
}
