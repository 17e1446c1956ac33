import { GrowableArray } from './growable-array';

/** Operation of a lambda; its argument is the body. */
export const lambdaOperation = -1;
/** Operation that applies its first argument to the others. */
export const applyOperation = -2;
/** Operation whose head is the variable of index 0; the next index is one less. */
export const firstVariableOperation = -3;

/**
 * Compact terms: an operation, which is the head's symbol if not negative, and the codes of its arguments. Stored in
 * integer arrays because a search creates millions of them.
 */
export class Code {
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
