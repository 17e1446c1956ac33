import type { NumericArray } from '../../checkpoints/numeric-array';
import type { Message } from '../../message';

/** The values of one example that lie in files, by the name of the input. */
export type GivenValues = ReadonlyMap<
  string,
  { readonly array: NumericArray; readonly file: string }
>;

/** Examples that were read, and what is doubtful about them. */
export interface GivenExamples {
  readonly examples: readonly GivenValues[];
  /** How many there are to choose from. */
  readonly available: number;
  readonly warnings: readonly Message[];
}

/** Which of so many examples are read, ascending. */
export type ChooseExamples = (size: number) => readonly number[];
