import { inventionsInOrder } from '../language/library';
import type { Invention, Library } from '../language/library';
import { primitiveNames, parameterTypes } from '../language/primitives';
import type { PrimitiveName } from '../language/primitives';
import { applied, forEachSymbol, splitSpine, symbol } from '../language/term';
import type { Term } from '../language/term';
import { GrowableArray, StateSpace } from './state-space';
import type { SymbolicGraph } from '../../models/patch/symbolic-graph';
import { Rejection } from '../language/rejection';

/**
 * Graph that a program of type `T` builds.
 * @throws Rejection if evaluation exceeds its step limit, or the graph isn't a valid result
 */
export function evaluateProgram(program: Term, machine: Machine): SymbolicGraph {
  const { space } = machine;
  const state = machine.evaluate(machine.compile(program));
  if (state === overrun) {
    throw new Rejection('step-limit', 'The program takes too many steps.');
  }
  const graph = space.graphOf(state);
  if (space.componentCount(graph) > 1) {
    throw new Rejection('components-2', 'The last node that was added is not connected.');
  }
  if (space.nodeCount(graph) === 1) {
    throw new Rejection('size-1', 'The graph has a single node.');
  }
  return space.describe(graph);
}

/** Step limit of an evaluation: replaces the 0.1 s of the released code, but is deterministic. */
const stepLimit = 100_000;
/** Limit of nested evaluations (`func`, `if_positions_equal`). */
const depthLimit = 150;
/**
 * Maximum nesting of inventions that are memoized as functions of the state. Each may reach its own depth limit, and
 * JavaScript's stack is large enough for this many.
 */
const rememberedLevels = 6;

/** Result of {@link Machine.run} if a limit was exceeded. */
export const overrun = -1;
const unknown = -2;

/** Evaluation rule of a symbol with all its arguments. */
const enum Kind {
  /** Ends: type `T`, and the effect depends on the state only. */
  Constant,
  /** Function of the state, followed by the continuation. */
  Step,
  Func,
  IfPositionsEqual,
  /** Runs its term with the arguments bound. */
  Call,
}

/**
 * List of closures (terms with their environments): an environment, or a stack of arguments. The empty list is its own
 * rest.
 */
class Cell {
  public readonly environment: Cell;
  public readonly next: Cell;

  public constructor(
    public readonly code: number,
    environment?: Cell,
    next?: Cell,
  ) {
    this.environment = environment ?? this;
    this.next = next ?? this;
  }
}

const end = new Cell(0);

/** Operation of a lambda; its argument is the body. */
const lambdaOperation = -1;
/** Operation that applies its first argument to the others. */
const applyOperation = -2;
/** Operation whose head is the variable of index 0; the next index is one less. */
const firstVariableOperation = -3;

/**
 * Compact terms: an operation, which is the head's symbol if not negative, and the codes of its arguments. Stored in
 * integer arrays because a search creates millions of them.
 */
class Code {
  private readonly operations = new GrowableArray();
  private readonly starts = new GrowableArray();
  private readonly allArguments = new GrowableArray();

  public constructor() {
    this.starts.push(0);
  }

  /** Number of codes, and the next code. */
  public get length(): number {
    return this.operations.length;
  }

  public add(operation: number, args: readonly number[]): number {
    for (const argument of args) {
      this.allArguments.push(argument);
    }
    this.operations.push(operation);
    this.starts.push(this.allArguments.length);
    return this.operations.length - 1;
  }

  /** Adds a code with a separately passed last argument. */
  public addWithLast(operation: number, before: readonly number[], last: number): number {
    for (const argument of before) {
      this.allArguments.push(argument);
    }
    this.allArguments.push(last);
    this.operations.push(operation);
    this.starts.push(this.allArguments.length);
    return this.operations.length - 1;
  }

  public operation(code: number): number {
    return this.operations.at(code);
  }

  public argumentCount(code: number): number {
    return this.starts.at(code + 1) - this.starts.at(code);
  }

  public argument(code: number, index: number): number {
    return this.allArguments.at(this.starts.at(code) + index);
  }
}

/**
 * Runs programs on states with Krivine's machine (call by name). Effects that depend on the state only (steps, and
 * inventions that end in their only variable) are memoized, so a program of such symbols costs one lookup per symbol.
 */
export class Machine {
  public readonly code = new Code();
  public readonly space = new StateSpace();
  private readonly symbols = new Map<string, number>();
  private readonly names: string[] = [];
  private readonly kinds: Kind[] = [];
  /** Code of an invention's term, by symbol; undefined for primitives. */
  private readonly bodies: (number | undefined)[] = [];
  /** Nesting depth of inventions in an invention's term, by symbol. */
  private readonly levels: number[] = [];
  /** [state, symbol]: resulting state. */
  private readonly transitions = new GrowableArray();
  private readonly identity: Cell;
  private steps = 0;
  private depth = 0;

  public constructor(library: Library) {
    for (const name of primitiveNames) {
      this.define(name, primitiveKind(name));
    }
    this.identity = new Cell(this.compile({ kind: 'symbol', name: 'identity' }), end, end);
    for (const invention of inventionsInOrder(library)) {
      this.defineInvention(invention);
    }
  }

  /** Index of a symbol in codes. */
  public symbolOf(name: string): number {
    const symbol = this.symbols.get(name);
    if (symbol === undefined) {
      throw new Error(`The machine has no symbol "${name}".`);
    }
    return symbol;
  }

  /** Compiles a term for {@link run}. */
  public compile(term: Term): number {
    const { head, args } = splitSpine(term);
    const codes = args.map((argument) => this.compile(argument));
    switch (head.kind) {
      case 'symbol':
        return this.code.add(this.symbolOf(head.name), codes);
      case 'variable':
        return this.code.add(firstVariableOperation - head.index, codes);
      case 'lambda': {
        const lambda = this.code.add(lambdaOperation, [this.compile(head.body)]);
        return codes.length === 0 ? lambda : this.code.add(applyOperation, [lambda, ...codes]);
      }
    }
  }

  /** Decompiles a code without variables and lambdas. */
  public termOf(code: number): Term {
    const args = Array.from({ length: this.code.argumentCount(code) }, (_, index) =>
      this.termOf(this.code.argument(code, index)),
    );
    return applied(symbol(this.names[this.code.operation(code)] ?? ''), args);
  }

  /** Final state of a program of type `T`, from the initial state; {@link overrun} if a limit is exceeded. */
  public evaluate(code: number): number {
    this.steps = 0;
    this.depth = 0;
    return this.run(code, end, end, this.space.initial);
  }

  private define(name: string, kind: Kind, body?: number, level = 0): void {
    this.symbols.set(name, this.kinds.length);
    this.names.push(name);
    this.kinds.push(kind);
    this.bodies.push(body);
    this.levels.push(level);
  }

  private defineInvention({ name, term, type }: Invention): void {
    const remembered = (symbol: string): boolean => {
      const kind = this.kinds[this.symbolOf(symbol)];
      return kind === Kind.Constant || kind === Kind.Step;
    };
    let level = 1;
    forEachSymbol(term, (used) => {
      level = Math.max(level, 1 + (this.levels[this.symbolOf(used)] ?? 0));
    });
    const { length } = parameterTypes(type);
    const isStep = length === 1 && endsInVariable(term, remembered);
    const kind =
      level > rememberedLevels || !(length === 0 || isStep)
        ? Kind.Call
        : isStep
          ? Kind.Step
          : Kind.Constant;
    this.define(name, kind, this.compile(term), level);
  }

  private run(start: number, startEnvironment: Cell, startStack: Cell, startState: number): number {
    if (this.depth >= depthLimit) {
      return overrun;
    }
    this.depth++;
    const state = this.runLoop(start, startEnvironment, startStack, startState);
    this.depth--;
    return state;
  }

  private runLoop(
    start: number,
    startEnvironment: Cell,
    startStack: Cell,
    startState: number,
  ): number {
    const { code, kinds, space } = this;
    let [at, environment, stack, state] = [start, startEnvironment, startStack, startState];
    for (;;) {
      if (++this.steps > stepLimit) {
        return overrun;
      }
      const operation = code.operation(at);
      if (operation < 0) {
        if (operation === lambdaOperation) {
          const argument = stack;
          environment = new Cell(argument.code, argument.environment, environment);
          stack = argument.next;
          at = code.argument(at, 0);
        } else if (operation === applyOperation) {
          stack = this.pushArguments(at, 1, environment, stack);
          at = code.argument(at, 0);
        } else {
          stack = this.pushArguments(at, 0, environment, stack);
          let value = environment;
          for (let index = firstVariableOperation - operation; index > 0; index--) {
            value = value.next;
          }
          at = value.code;
          environment = value.environment;
        }
        continue;
      }
      const kind = kinds[operation];
      if (kind === Kind.Constant) {
        return this.transition(state, operation);
      }
      if (kind === Kind.Step) {
        state = this.transition(state, operation);
        if (state === overrun) {
          return overrun;
        }
        if (code.argumentCount(at) === 1) {
          at = code.argument(at, 0);
        } else {
          const continuation = stack;
          at = continuation.code;
          environment = continuation.environment;
          stack = continuation.next;
        }
        continue;
      }
      stack = this.pushArguments(at, 0, environment, stack);
      if (kind === Kind.Call) {
        at = this.bodies[operation] ?? 0;
        environment = end;
        continue;
      }
      let continuation: Cell;
      if (kind === Kind.Func) {
        const body = stack;
        const after = this.run(body.code, body.environment, end, state);
        if (after === overrun) {
          return overrun;
        }
        state = space.withGraphOf(state, after);
        continuation = body.next;
      } else {
        const left = stack;
        const right = left.next;
        const equal = right.next;
        const different = equal.next;
        const a = this.run(left.code, left.environment, end, state);
        const b = this.run(right.code, right.environment, end, state);
        if (a === overrun || b === overrun) {
          return overrun;
        }
        const branch = space.positionOf(a) === space.positionOf(b) ? equal : different;
        state = this.run(branch.code, branch.environment, end, state);
        if (state === overrun) {
          return overrun;
        }
        continuation = different.next;
      }
      at = continuation.code;
      environment = continuation.environment;
      stack = continuation.next;
    }
  }

  /** State after a symbol whose effect depends on the state only. */
  private transition(state: number, symbol: number): number {
    const columns = this.kinds.length;
    const at = state * columns + symbol;
    while (this.transitions.length <= at) {
      this.transitions.push(unknown);
    }
    let next = this.transitions.at(at);
    if (next === unknown) {
      next = this.computeTransition(state, symbol);
      this.transitions.values[at] = next;
    }
    return next;
  }

  private computeTransition(state: number, symbol: number): number {
    const body = this.bodies[symbol];
    if (body === undefined) {
      return this.space.step(state, primitiveNames[symbol] ?? 'identity');
    }
    // Separate counters, so that memoized results don't depend on the caller.
    const { steps, depth } = this;
    this.steps = 0;
    this.depth = 0;
    const stack = this.kinds[symbol] === Kind.Step ? this.identity : end;
    const next = this.run(body, end, stack, state);
    this.steps = steps;
    this.depth = depth;
    return next;
  }

  /** Pushes the arguments of a code from `first` on the list. */
  private pushArguments(code: number, first: number, environment: Cell, list: Cell): Cell {
    let stack = list;
    for (let i = this.code.argumentCount(code) - 1; i >= first; i--) {
      stack = new Cell(this.code.argument(code, i), environment, stack);
    }
    return stack;
  }
}

function primitiveKind(name: PrimitiveName): Kind {
  switch (name) {
    case 'identity':
      return Kind.Constant;
    case 'func':
      return Kind.Func;
    case 'if_positions_equal':
      return Kind.IfPositionsEqual;
    default:
      return Kind.Step;
  }
}

/** Number of arguments of primitives that aren't steps; the last is the continuation. */
const argumentCounts: Readonly<Record<string, number>> = { func: 2, if_positions_equal: 5 };

/**
 * True if a term of type `T -> T` is a function of the state: a lambda whose variable occurs only as the last
 * continuation, so that its argument doesn't influence the effect.
 * @param isStateFunction returns the same property of an invention or a primitive
 */
function endsInVariable(term: Term, isStateFunction: (name: string) => boolean): boolean {
  if (term.kind !== 'lambda') {
    return false;
  }
  let rest: Term = term.body;
  for (;;) {
    const { head, args } = splitSpine(rest);
    if (head.kind === 'variable') {
      return head.index === 0 && args.length === 0;
    }
    const continuation = args.at(-1);
    if (head.kind !== 'symbol' || continuation === undefined) {
      return false;
    }
    const count = argumentCounts[head.name] ?? (isStateFunction(head.name) ? 1 : 0);
    if (args.length !== count || args.slice(0, -1).some((argument) => hasFree(argument, 0))) {
      return false;
    }
    rest = continuation;
  }
}

function hasFree(term: Term, index: number): boolean {
  switch (term.kind) {
    case 'symbol':
      return false;
    case 'variable':
      return term.index === index;
    case 'lambda':
      return hasFree(term.body, index + 1);
    case 'application':
      return hasFree(term.function, index) || hasFree(term.argument, index);
  }
}
