import * as v from 'valibot';
import { parseJson } from '../parse-json';
import { UserError } from '../user-error';
import { say } from '../message';
import type { Message } from '../message';

/**
 * Parses JSON text by a schema.
 * @param what kind of document, such as "a prune plan"
 * @throws UserError naming the file and the field.
 */
export function parseDocument<Schema extends v.GenericSchema>(
  schema: Schema,
  text: string,
  file: string,
  what: Message,
): v.InferOutput<Schema> {
  const json = parseJson(text, file, say`Correct the file: it should be ${what}.`);
  const result = v.safeParse(schema, json);
  if (result.success) {
    return result.output;
  }
  const [issue] = result.issues;
  const field = v.getDotPath(issue);
  throw new UserError('field-invalid', say`${issue.message}.`, {
    file,
    ...(field === null ? {} : { field }),
    remedy: say`Correct the field: the file should be ${what}.`,
  });
}

/** Schema of a document field with its description for the docs. */
export const described = <const Schema extends v.GenericSchema>(
  schema: Schema,
  description: string,
): v.SchemaWithPipe<readonly [Schema, v.DescriptionAction<v.InferOutput<Schema>, string>]> =>
  v.pipe(schema, v.description(description));
