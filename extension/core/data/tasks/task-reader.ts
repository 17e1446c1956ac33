import type * as v from 'valibot';
import type { Example } from './task-example';

/** Reads rows of one form. */
export interface TaskReader<Schema extends v.GenericSchema = v.GenericSchema> {
  /** What the form is called. */
  readonly name: string;
  /** Fields that tell a row of this form, `a|b` where one of them does. */
  readonly fields: readonly string[];
  readonly schema: Schema;
  /** The field that says which choice is right. */
  readonly answer?: string;
  readonly read: (row: v.InferOutput<Schema>) => Example;
  /** Whether a row is another example, in a file that begins with `first`; any is when absent. */
  readonly counts?: (row: v.InferOutput<Schema>, first: v.InferOutput<Schema>) => boolean;
}

/** Gives a reader's functions the types of its schema. */
export function taskReader<Schema extends v.GenericSchema>(reader: TaskReader<Schema>): TaskReader {
  return reader as unknown as TaskReader;
}

/** The first reader whose fields a row has. */
export function readerOf(row: object, readers: readonly TaskReader[]): TaskReader | undefined {
  return readers.find(({ fields }) =>
    fields.every((names) => names.split('|').some((name) => name in row)),
  );
}
