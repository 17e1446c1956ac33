import { inEnglish } from '../message';
import type { AnyOperation } from './operation';
import { isReading, toolName } from './tool-names';
import { toJsonSchema } from '@valibot/to-json-schema';
import type { Field, Fields } from './fields';

/** Declaration of a tool for agents. */
export interface ToolDeclaration {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly inputSchema: JsonSchema & { readonly type: 'object' };
}

/** Tool declaration of an operation. */
export function toolDeclaration(operation: AnyOperation): ToolDeclaration {
  const { title, summary, fields, rules } = operation;
  const notes = [...new Set(rules.map((rule) => inEnglish(rule.describe((key) => key))))];
  const long = isReading(operation)
    ? []
    : ['Runs on this machine, which may take minutes to hours.'];
  const required = Object.entries(fields)
    .filter(([, field]) => field.present && field.default === undefined)
    .map(([key]) => key);
  return {
    name: toolName(operation),
    title,
    description: [summary, ...long, ...notes].join(' '),
    inputSchema: {
      type: 'object',
      properties: fieldSchemas(fields),
      required,
      additionalProperties: false,
    },
  };
}

/** A JSON schema, or a part of one. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** JSON schemas of an operation's fields, without rules between fields. */
function fieldSchemas(fields: Fields): Readonly<Record<string, JsonSchema>> {
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
