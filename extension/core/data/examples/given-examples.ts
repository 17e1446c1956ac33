import type { NumericArray } from '../../checkpoints/numeric-array';
import type { Message } from '../../message';

/** Values of one example from files, by input name. */
export type GivenValues = ReadonlyMap<
  string,
  { readonly array: NumericArray; readonly file: string }
>;

/** Examples that were read, and warnings about them. */
export interface GivenExamples {
  readonly examples: readonly GivenValues[];
  /** Number of available examples. */
  readonly available: number;
  readonly warnings: readonly Message[];
}

/** Returns the ascending indices of the examples to read out of `size` available ones. */
export type ChooseExamples = (size: number) => readonly number[];
