import { UserError } from '../../user-error';
import type { ErrorSubject } from '../../user-error';
import type { NumericArray } from '../../checkpoints/numeric-array';
import { say } from '../../message';

/** Maximum number of feature axes. */
const maxDepth = 8;

/** Collects equally nested lists of numbers into one float32 array. Booleans become 0 and 1. */
export class NestedNumbers {
  private shape: readonly number[] | undefined;
  private values = new Float32Array(1024);
  private length = 0;
  private count = 0;

  /**
   * Adds the numbers of one example: a number, or nested lists.
   * @throws UserError if values are not numbers, or the nesting differs from the first example's.
   */
  public push(value: unknown, place: ErrorSubject): void {
    this.shape ??= nestedShape(value, place);
    this.add(value, 0, this.shape, place);
    this.count++;
  }

  /** Returns [examples, ...list sizes]. */
  public toArray(): NumericArray {
    return {
      dtype: 'F32',
      dims: [this.count, ...(this.shape ?? [])],
      data: this.values.subarray(0, this.length),
    };
  }

  private add(value: unknown, depth: number, shape: readonly number[], place: ErrorSubject): void {
    const size = shape[depth];
    if (size === undefined) {
      this.addNumber(value, place);
      return;
    }
    if (!isList(value) || value.length !== size) {
      const found = isList(value) ? `a list of ${value.length}` : 'no list';
      throw new UserError(
        'features-ragged',
        say`It has ${found}, but the first example has one of ${size}.`,
        place,
      );
    }
    for (let i = 0; i < size; i++) {
      this.add(value[i], depth + 1, shape, place);
    }
  }

  private addNumber(value: unknown, place: ErrorSubject): void {
    if (typeof value !== 'number' && typeof value !== 'bigint' && typeof value !== 'boolean') {
      throw new UserError('value-not-number', say`${describe(value)} is not a number.`, place);
    }
    if (!Number.isFinite(Number(value))) {
      throw new UserError('value-not-finite', say`The value is ${value}.`, place);
    }
    if (this.length === this.values.length) {
      const larger = new Float32Array(this.length * 2);
      larger.set(this.values);
      this.values = larger;
    }
    this.values[this.length++] = Number(value);
  }
}

/** True for lists and typed arrays. */
export function isList(value: unknown): value is ArrayLike<unknown> {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
}

function nestedShape(value: unknown, place: ErrorSubject): number[] {
  const shape: number[] = [];
  for (let rest = value; isList(rest); rest = rest[0]) {
    if (rest.length === 0 || shape.length === maxDepth) {
      throw new UserError(
        'features-empty',
        say`The features are an empty list, or nested too deeply.`,
        place,
      );
    }
    shape.push(rest.length);
  }
  return shape;
}

function describe(value: unknown): string {
  const text = value === undefined ? 'Nothing' : JSON.stringify(value);
  return text.slice(0, 40);
}
