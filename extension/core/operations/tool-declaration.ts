import { inEnglish } from '../message';
import { fieldSchemas } from './json-schema';
import type { JsonSchema } from './json-schema';
import type { AnyOperation } from './operation';
import { isReading, toolName } from './tool-names';

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
  // Rules about a flag that is on by default are about its opposite.
  const name = (key: string): string => {
    const field = fields[key];
    return field?.kind === 'flag' && field.default === true ? `${key}: false` : key;
  };
  const notes = [...new Set(rules.map((rule) => inEnglish(rule.describe(name))))];
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
