import { toJsonSchema } from '@valibot/to-json-schema';
import type { Field, Fields } from './fields';

/** A JSON schema, or a part of one. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** JSON schemas of an operation's fields, without rules between fields. */
export function fieldSchemas(fields: Fields): Readonly<Record<string, JsonSchema>> {
  return Object.fromEntries(
    Object.entries(fields).map(([key, field]) => [key, fieldSchema(field)] as const),
  );
}

function fieldSchema(field: Field): JsonSchema {
  // A request may contain a document, which uses the schema of its file.
  const schema: JsonSchema =
    field.kind === 'document'
      ? { type: ['string', 'object'] }
      : { ...toJsonSchema(field.schema, { errorMode: 'ignore' }), $schema: undefined };
  const { description, fallback, unit } = field;
  const more = [
    unit === undefined ? '' : ` In ${unit}.`,
    fallback === undefined ? '' : ` Default: ${fallback}.`,
  ];
  return {
    ...schema,
    description: `${description}.${more.join('')}`,
    ...(field.default === undefined ? {} : { default: field.default }),
  };
}
