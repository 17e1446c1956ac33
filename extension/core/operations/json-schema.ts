import { toJsonSchema } from '@valibot/to-json-schema';
import type { Field, Fields } from './fields';

/** A JSON schema, or a part of one. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** The fields of an operation's request, without what each of them needs of the others. */
export function fieldSchemas(fields: Fields): Readonly<Record<string, JsonSchema>> {
  return Object.fromEntries(
    Object.entries(fields).map(([key, field]) => [key, fieldSchema(field)] as const),
  );
}

function fieldSchema(field: Field): JsonSchema {
  // A request may contain a document, whose schema is that of its files.
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
