import { Option } from 'commander';
import type { Command } from 'commander';
import { flagName } from '../core/operations/build-request';
import { describeBounds, describeDefault } from '../core/operations/fields';
import type { Field, Fields } from '../core/operations/fields';

/** Unparsed values by field name. */
export type Typed = Record<string, unknown>;

/** Adds the options and arguments of some fields to a command, which collects into `typed`. */
export function addFields(command: Command, fields: Fields, typed: Typed): void {
  for (const [key, field] of Object.entries(fields)) {
    if (field.positional) {
      command.argument(`[${field.placeholder}]`, field.description);
      continue;
    }
    for (const { long, takesValue, value, description } of fieldFlags(key, field)) {
      const option = new Option(takesValue ? `${long} <${field.placeholder}>` : long, description);
      command.addOption(field.group === '' ? option : option.helpGroup(`${field.group}:`));
      command.on(`option:${option.name()}`, (text: string) => {
        typed[key] = takesValue ? parse(field, text, typed[key]) : value;
      });
    }
  }
}

/** Parses positional arguments. */
export function takeArguments(fields: Fields, args: readonly string[], typed: Typed): void {
  const positional = Object.entries(fields).filter(([, field]) => field.positional);
  for (const [i, [key]] of positional.entries()) {
    if (args[i] !== undefined) {
      typed[key] = args[i];
    }
  }
}

/** A way to type a field. */
export interface Flag {
  readonly long: string;
  readonly takesValue: boolean;
  /** Value if only the flag is given. */
  readonly value: boolean;
  readonly description: string;
}

/** `VALUE`, `--name VALUE`, `--name`, `--no-name`, or the last two if there is no default. */
export function fieldFlags(key: string, field: Field): Flag[] {
  const long = flagName(key, field);
  if (field.positional) {
    return [{ long, takesValue: false, value: true, description: describe(field) }];
  }
  if (field.kind !== 'flag') {
    return [{ long, takesValue: true, value: true, description: describe(field) }];
  }
  const on = { long, takesValue: false, value: true, description: describe(field) };
  if (field.default === true) {
    return [{ ...on, value: false, description: field.off ?? field.description }];
  }
  return field.default === false
    ? [on]
    : [
        on,
        { ...on, long: long.replace('--', '--no-'), value: false, description: field.off ?? '' },
      ];
}

/** `Number of sequences (at least 1; default: 10)`. */
function describe(field: Field): string {
  const { description, choices, unit, kind } = field;
  const fallback = kind === 'flag' ? undefined : describeDefault(field);
  const bounds = describeBounds(field);
  const facts = [
    ...(choices === undefined ? [] : [`choices: ${choices.join(', ')}`]),
    ...(bounds === undefined ? [] : [bounds]),
    ...(unit === undefined ? [] : [unit]),
    ...(fallback === undefined ? [] : [`default: ${fallback}`]),
    ...(field.present && field.default === undefined ? ['required'] : []),
  ];
  return facts.length === 0 ? description : `${description} (${facts.join('; ')})`;
}

function parse({ kind }: Field, text: string, before: unknown): unknown {
  const known: readonly unknown[] = Array.isArray(before) ? before : [];
  switch (kind) {
    case 'integer':
    case 'number':
      return parseNumber(text);
    case 'list':
    case 'paths':
      return [...known, ...parseNames(text)];
    case 'numbers':
      return [...known, ...splitNames(text).map(parseNumber)];
    default:
      return text;
  }
}

/** Names separated by commas, or a JSON array where a name has a comma. */
function parseNames(text: string): readonly unknown[] {
  if (text.startsWith('[')) {
    try {
      return JSON.parse(text) as readonly unknown[];
    } catch {
      // A name that begins so.
    }
  }
  return splitNames(text);
}

const splitNames = (text: string): string[] => text.split(',').map((part) => part.trim());

/** The number, or the text if it is not a number. */
function parseNumber(text: string): number | string {
  const value = Number(text);
  return text.trim() === '' || Number.isNaN(value) ? text : value;
}
