import type { ErrorCode } from '../error-codes';
import type { Message } from '../message';
import { say } from '../message';
/** Formats a field's name as a flag or as a setting. */
export type NameOf = (key: string) => string;

/** Problem with a combination of fields. */
export interface Breach {
  /** The fields that contradict each other or lack another, the first to drop first. */
  readonly fields: readonly string[];
  readonly code: ErrorCode;
  readonly problem: (name: NameOf) => Message;
}

/** Constraint on the combination of fields in a request. */
export interface Rule {
  /** Description for docs. */
  readonly describe: (name: NameOf) => Message;
  /** @param complete given fields and defaults */
  readonly check: (given: Values, complete: Values) => Breach | undefined;
}

/** Values by field. */
export type Values = Readonly<Record<string, unknown>>;

const isGiven = (given: Values, key: string): boolean =>
  given[key] !== undefined && given[key] !== false;

/** Rule: at most one of the fields is given. */
export function excludes(...fields: readonly string[]): Rule {
  return {
    describe: (name) => say`Only one of ${listed(fields, name, 'and')}.`,
    check: (given) => {
      const [first, second] = fields.filter((key) => isGiven(given, key));
      return first === undefined || second === undefined
        ? undefined
        : {
            fields: [second, first],
            code: 'flags-conflict',
            problem: (name) => {
              const all = listed(fields, name, 'and');
              return fields.length > 2
                ? say`Use only one of ${all}, not both ${name(first)} and ${name(second)}.`
                : say`Use only one of ${all}.`;
            },
          };
    },
  };
}

/** Rule: at least one of the fields is given. */
export function anyOf(...fields: readonly string[]): Rule {
  const describe = (name: NameOf): Message => say`${listed(fields, name, 'or')} is required.`;
  return {
    describe,
    check: (given) =>
      fields.some((key) => isGiven(given, key))
        ? undefined
        : { fields: [], code: 'field-required', problem: describe },
  };
}

/** Rules: exactly one of the fields is given. */
export function oneOf(...fields: readonly string[]): readonly Rule[] {
  return [excludes(...fields), anyOf(...fields)];
}

/** Rule: a field acts only together with one of the others. */
export function needs(field: string, ...others: readonly string[]): Rule {
  const describe = (name: NameOf): Message =>
    say`${name(field)} needs ${listed(others, name, 'or')}.`;
  return {
    describe,
    check: (given) =>
      isGiven(given, field) && !others.some((key) => isGiven(given, key))
        ? { fields: [field], code: 'flag-needs-other', problem: describe }
        : undefined,
  };
}

/** Rules: each field acts only together with one of the others. */
export function allNeed(fields: readonly string[], ...others: readonly string[]): Rule {
  const tell = (keys: readonly string[], name: NameOf): Message =>
    keys.length > 1
      ? say`${listed(keys, name, 'and')} need ${listed(others, name, 'or')}.`
      : say`${listed(keys, name, 'and')} needs ${listed(others, name, 'or')}.`;
  return {
    describe: (name) => tell(fields, name),
    check: (given) => {
      const alone = fields.filter((key) => isGiven(given, key));
      return alone.length > 0 && !others.some((key) => isGiven(given, key))
        ? { fields: alone, code: 'flag-needs-other', problem: (name) => tell(alone, name) }
        : undefined;
    },
  };
}

/** Rule: a field acts only if another has, or contains, one of the given values. */
export function actsOnlyWith(field: string, other: string, values: readonly unknown[]): Rule {
  const known = values.join(' or ');
  return {
    describe: (name) => say`${name(field)} applies only with ${name(other)} ${known}.`,
    check: (given, complete) =>
      isGiven(given, field) && ![complete[other]].flat().some((value) => values.includes(value))
        ? {
            fields: [field],
            code: 'flag-without-effect',
            problem: (name) =>
              say`${name(field)} applies only with ${name(other)} ${known}, not ${String(complete[other])}.`,
          }
        : undefined,
  };
}

/** Rule: a number is at most the value of another field. */
export function atMost(field: string, bound: string): Rule {
  return {
    describe: (name) => say`${name(field)} accepts at most ${name(bound)}.`,
    check: (given, complete) =>
      Number(given[field]) > Number(complete[bound])
        ? {
            fields: [field],
            code: 'value-too-large',
            problem: (name) =>
              say`${name(field)} accepts at most ${name(bound)}, which is ${String(complete[bound])}.`,
          }
        : undefined,
  };
}

/** Rule: a field makes others ineffective, with the reason. */
export function replaces(field: string, others: readonly string[], why: Message): Rule {
  return {
    describe: (name) =>
      say`${name(field)} can't be combined with ${listed(others, name, 'and')}: ${why}.`,
    check: (given) => {
      const other = others.find((key) => given[key] !== undefined);
      return isGiven(given, field) && other !== undefined
        ? {
            fields: [other, field],
            code: 'flag-without-effect',
            problem: (name) => say`${name(other)} has no effect with ${name(field)}: ${why}.`,
          }
        : undefined;
    },
  };
}

/** A flag that is on by default, and fields that have no effect if it is off. */
export function switchedOff(field: string, others: readonly string[]): Rule {
  return {
    describe: (name) => say`${name(field)} can't be combined with ${listed(others, name, 'and')}.`,
    check: (given) => {
      const other = others.find((key) => given[key] !== undefined);
      return given[field] === false && other !== undefined
        ? {
            fields: [other, field],
            code: 'flag-without-effect',
            problem: (name) => say`${name(other)} has no effect with ${name(field)}.`,
          }
        : undefined;
    },
  };
}

/** `a, b and c` */
function listed(fields: readonly string[], name: NameOf, word: 'and' | 'or'): Message | string {
  const names = fields.map(name);
  const last = names.pop() ?? '';
  const most = names.join(', ');
  return names.length === 0
    ? last
    : word === 'and'
      ? say`${most} and ${last}`
      : say`${most} or ${last}`;
}
