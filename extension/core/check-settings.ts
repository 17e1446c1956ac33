import * as v from 'valibot';
import { UserError } from './user-error';

/**
 * Checks settings by their schema, whose messages say what a setting takes.
 * @throws UserError naming the setting.
 */
export function checkSettings(schema: v.GenericSchema, settings: unknown): void {
  const result = v.safeParse(schema, settings);
  if (result.success) {
    return;
  }
  const [issue] = result.issues;
  const field = v.getDotPath(issue);
  throw new UserError(`${issue.message}, not ${String(issue.input)}.`, {
    ...(field === null ? {} : { field }),
  });
}

/** An integer of at least `least`. */
export const integerFrom = (least: number): v.GenericSchema<number> => {
  const message = `It takes an integer of at least ${least}`;
  return v.pipe(v.number(message), v.safeInteger(message), v.minValue(least, message));
};

/** A number above 0. */
export const positive: v.GenericSchema<number> = v.pipe(
  v.number('It takes a number above 0'),
  v.finite('It takes a number above 0'),
  v.gtValue(0, 'It takes a number above 0'),
);
