import type * as v from 'valibot';
import type { Example } from './task-example';

/** Reader for one row format. */
export interface TaskReader<Schema extends v.GenericSchema = v.GenericSchema> {
  /** Name of the format. */
  readonly name: string;
  /** Fields that identify the format; `a|b` means one of both. */
  readonly fields: readonly string[];
  readonly schema: Schema;
  /** Field with the index of the correct choice. */
  readonly answer?: string;
  readonly read: (row: v.InferOutput<Schema>) => Example;
  /** True if the row counts as an example, in a file that starts with `first`; all rows count by default. */
  readonly counts?: (row: v.InferOutput<Schema>, first: v.InferOutput<Schema>) => boolean;
}

/** Types a reader's functions by its schema. */
export function taskReader<Schema extends v.GenericSchema>(reader: TaskReader<Schema>): TaskReader {
  return reader as unknown as TaskReader;
}

/** First reader whose fields are in the row. */
export function findReader(row: object, readers: readonly TaskReader[]): TaskReader | undefined {
  return readers.find(({ fields }) =>
    fields.every((names) => names.split('|').some((name) => name in row)),
  );
}
