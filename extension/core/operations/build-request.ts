import * as v from 'valibot';
import type { ErrorCode } from '../error-codes';
import { UserError } from '../user-error';
import type { ErrorSubject } from '../user-error';
import type { Field, Fields, GivenOf, RequestOf } from './fields';
import type { Breach, NameOf, Rule, Values } from './rules';
import { say } from '../message';
import type { Message } from '../message';

/** Part of an operation that determines its valid requests. */
export interface RequestShape<F extends Fields = Fields> {
  readonly fields: F;
  readonly rules: readonly Rule[];
}

/** Error about an invalid request, thrown before any work begins. */
export class RequestError extends UserError {
  /** @param subject absent if the message names the field */
  public constructor(
    code: ErrorCode,
    problem: Message,
    subject: ErrorSubject = { remedy: undefined },
    /** Names of the fields at fault, which the problem contains. */
    public readonly fields: readonly string[] = [],
  ) {
    super(code, problem, subject);
  }
}

/**
 * Completes a request: given fields, then settings, then defaults. A setting without effect in this
 * combination is ignored; a given field without effect is an error.
 * @throws RequestError naming the fields as `name` says them.
 */
export function buildRequest<const F extends Fields>(
  operation: RequestShape<F>,
  given: GivenOf<F>,
  { settings = {}, name = asKey }: { settings?: GivenOf<F>; name?: NameOf } = {},
): RequestOf<F> {
  const { fields, rules } = operation;
  const values = present(given);
  const chosen = { ...present(settings), ...values };
  for (;;) {
    const breach = findBreach(rules, chosen, fields);
    if (breach === undefined) {
      const filledIn = Object.entries(fields).filter(([, field]) => field.present);
      return checkValues(
        fields,
        { ...defaultValues(Object.fromEntries(filledIn)), ...chosen },
        name,
      );
    }
    const idle = breach.fields.find((key) => values[key] === undefined);
    if (idle === undefined) {
      throw toError(breach, name);
    }
    Reflect.deleteProperty(chosen, idle);
  }
}

/**
 * Validates a complete request from another process.
 * @throws RequestError naming the fields as `name` spells them
 */
export function validateRequest<const F extends Fields>(
  operation: RequestShape<F>,
  request: unknown,
  name: NameOf = asKey,
): RequestOf<F> {
  if (typeof request !== 'object' || request === null || Array.isArray(request)) {
    throw new RequestError('request-not-object', say`A request is a JSON object.`);
  }
  const values = present(request);
  const { fields, rules } = operation;
  const checked = checkValues(fields, values, name);
  const breach = findBreach(rules, omitDefaults(fields, values), fields);
  if (breach !== undefined) {
    throw toError(breach, name);
  }
  return checked;
}

const toError = ({ code, fields, problem }: Breach, name: NameOf): RequestError =>
  new RequestError(code, problem(name), undefined, fields.map(name));

/** Fields of a completed request that differ from their defaults. */
export function omitDefaults(fields: Fields, values: Values): Values {
  return Object.fromEntries(
    Object.entries(values).filter(
      ([key, value]) =>
        fields[key]?.present !== true ||
        JSON.stringify(value) !== JSON.stringify(fields[key].default),
    ),
  );
}

/** The flag of a field: `--calibration-scores`, or `MODEL`. */
export function flagName(key: string, field: Field | undefined): string {
  if (field?.positional === true) {
    return field.placeholder;
  }
  const kebab = field?.flag ?? key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  return `--${field?.kind === 'flag' && field.default === true ? 'no-' : ''}${kebab}`;
}

/** Names fields as the command line does. */
export const asFlag =
  (fields: Fields): NameOf =>
  (key) =>
    flagName(key, fields[key]);

/** Names fields as settings of the editor, if there is a setting. */
export const asSetting =
  (fields: Fields): NameOf =>
  (key) => {
    const setting = fields[key]?.setting;
    return setting === undefined ? key : `espalier.${setting}`;
  };

const asKey: NameOf = (key) => key;

function present(values: object): Values {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}

function findBreach(rules: readonly Rule[], given: Values, fields: Fields): Breach | undefined {
  const complete = { ...defaultValues(fields), ...given };
  for (const rule of rules) {
    const breach = rule.check(given, complete);
    if (breach !== undefined) {
      return breach;
    }
  }
  return undefined;
}

function defaultValues(fields: Fields): Values {
  return Object.fromEntries(
    Object.entries(fields).flatMap(([key, field]) =>
      field.default === undefined ? [] : [[key, field.default]],
    ),
  );
}

function checkValues<F extends Fields>(fields: F, values: Values, name: NameOf): RequestOf<F> {
  for (const key of Object.keys(values)) {
    if (!Object.hasOwn(fields, key)) {
      throw new RequestError(
        'field-unknown',
        say`There is no field "${key}".`,
        { remedy: say`Fields are ${Object.keys(fields).join(', ')}.` },
        [key],
      );
    }
  }
  for (const [key, field] of Object.entries<Field>(fields)) {
    const value = values[key];
    if (value === undefined) {
      if (field.present) {
        throw new RequestError(
          'field-required',
          field.missing ?? say`${name(key)} is required.`,
          undefined,
          [name(key)],
        );
      }
    } else if (!v.safeParse(field.schema, value).success) {
      throw new RequestError(
        'value-invalid',
        say`${name(key)} accepts ${field.takes}, not ${JSON.stringify(value)}.`,
        undefined,
        [name(key)],
      );
    }
  }
  return values as RequestOf<F>;
}
