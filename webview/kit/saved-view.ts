import {
  array,
  boolean,
  fallback,
  minValue,
  number,
  object,
  optional,
  parse,
  picklist,
  pipe,
  string,
  transform,
  unknown,
} from 'valibot';
import type { GenericSchema, InferOutput, ObjectEntries, ObjectSchema } from 'valibot';

/** Reads what an earlier page has kept, which may be from another version: what does not fit falls back. */
export type Saved<T> = GenericSchema<unknown, T>;

export function group<Entries extends ObjectEntries>(
  entries: Entries,
): Saved<InferOutput<ObjectSchema<Entries, undefined>>> {
  const schema = object(entries);
  return fallback(schema, () => parse(schema, {}));
}

export const count = (): Saved<number> => pipe(number(), minValue(0));

export const countOr = (otherwise: number): Saved<number> =>
  fallback(pipe(number(), minValue(0)), otherwise);

export const flagOr = (otherwise: boolean): Saved<boolean> => fallback(boolean(), otherwise);

export const textOr = (otherwise: string): Saved<string> => fallback(string(), otherwise);

export const savedChoice = <const Values extends readonly string[]>(
  values: Values,
  otherwise: Values[number],
): Saved<Values[number]> => fallback(picklist(values), () => otherwise);

/** Undefined if no valid value was saved. */
export const maybe = <T>(schema: Saved<T>): Saved<T | undefined> =>
  fallback(optional(schema), undefined);

export const texts = (): Saved<readonly string[]> =>
  fallback(
    pipe(
      array(unknown()),
      transform((all) => all.filter((one) => typeof one === 'string')),
    ),
    [],
  );

/** Reads the saved view of a panel. */
export const viewFrom = <View>(schema: Saved<View>, saved: unknown): View =>
  parse(schema, savedField(saved, 'view'));

/** The place in the page. */
export const scrollTopFrom = (saved: unknown): number =>
  parse(countOr(0), savedField(saved, 'scrollTop'));

function savedField(saved: unknown, name: string): unknown {
  return typeof saved === 'object' && saved !== null ? Reflect.get(saved, name) : undefined;
}
