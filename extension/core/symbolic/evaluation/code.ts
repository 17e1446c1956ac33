import { GrowableArray } from './growable-array';

/** The operation of code that is a lambda; its argument is the body. */
export const lambdaOperation = -1;
/** The operation of code that applies its first argument to the others. */
export const applyOperation = -2;
/** The operation of code whose head is the variable of index 0; the next index is one less. */
export const firstVariableOperation = -3;

/**
 * Terms without texts: an operation, which is the head's symbol if it is not negative, and the codes of its
 * arguments. Kept in rows of numbers because a search holds millions of them.
 */
export class Code {
  private readonly operations = new GrowableArray();
  private readonly starts = new GrowableArray();
  private readonly allArguments = new GrowableArray();

  public constructor() {
    this.starts.push(0);
  }

  /** How many codes there are; the next one is this. */
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

  /** Adds a code whose last argument stands apart. */
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
