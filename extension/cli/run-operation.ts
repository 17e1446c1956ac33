import { existsSync } from 'node:fs';
import {
  asFlag,
  buildRequest,
  omitDefaults,
  flagName,
  RequestError,
} from '../core/operations/build-request';
import { flag, path } from '../core/operations/fields';
import type { Fields } from '../core/operations/fields';
import type { AnyOperation, OperationContext } from '../core/operations/operation';
import { runOperation as runOnCore } from '../core/operations/run-operation';
import { UserError } from '../core/user-error';
import type { Typed } from './options';
import type { Presenter } from './presenter';
import type { Terminal } from './terminal';
import { say } from '../core/message';
import { readSmallText } from '../core/regular-file';
import { parseJsonText } from '../core/parse-json';

/** Flags of every operation. */
export const commonFields = {
  json: flag({ description: 'Print the result as JSON', default: false }),
  config: path({ description: 'Read options from a JSON file, as --print-config prints them' }),
  printConfig: flag({
    description: 'Print the options as JSON, with defaults, instead of running',
    default: false,
  }),
} satisfies Fields;

/** Parts of the command line that a run uses. */
export interface CommandLine {
  readonly terminal: Terminal;
  readonly context: OperationContext<unknown>;
  /** Sets the hint that is printed if the run is stopped. */
  readonly resumeHint: (hint: () => string | undefined) => void;
}

/**
 * Builds the request from what was typed, runs it, and shows the result.
 * @returns whether the result is what was asked for
 */
export async function runOperation(
  operation: AnyOperation,
  presenter: Presenter,
  typed: Typed,
  { terminal, context, resumeHint }: CommandLine,
): Promise<boolean> {
  const { fields } = operation;
  const common = pick(typed, commonFields);
  const options = pick(typed, presenter.options);
  requireOneOutput(common, options);
  const file = common['config'];
  const given = {
    ...(typeof file === 'string' ? omitDefaults(fields, await readConfig(file, operation.id)) : {}),
    ...pick(typed, fields),
  };
  const name = asFlag(fields);
  const request: Typed = { ...buildRequest(operation, given, { name }) };
  if (
    operation.suggestOut !== undefined &&
    request['out'] === undefined &&
    common['json'] !== true
  ) {
    request['out'] = await operation.suggestOut(request);
  }
  if (common['printConfig'] === true) {
    terminal.printJson({ operation: operation.id, ...request });
    return true;
  }
  const places = [operation.resume?.(request) ?? []].flat();
  resumeHint(() => {
    const saved = places.find((place) => existsSync(place));
    return saved === undefined
      ? undefined
      : `Run the same command again to continue: progress is saved in ${saved}.`;
  });
  const result = await runOnCore(operation, request, context as OperationContext).catch(
    (error: unknown) => {
      throw nameFlag(error, fields);
    },
  );
  if (common['json'] === true) {
    const { toJson = (whole: unknown) => whole } = operation;
    terminal.printJson(toJson(result));
  } else {
    presenter.print(result, { terminal, request, options });
  }
  return operation.passes?.(result) ?? true;
}

function pick(typed: Typed, fields: Fields): Typed {
  return Object.fromEntries(Object.entries(typed).filter(([key]) => Object.hasOwn(fields, key)));
}

/** @throws RequestError if both JSON and another output format are requested */
function requireOneOutput(common: Typed, options: Typed): void {
  const [other] = Object.entries(options).flatMap(([key, value]) => (value === true ? [key] : []));
  if (common['json'] === true && other !== undefined) {
    throw new RequestError('flags-conflict', say`Give only one of --json and --${other}.`);
  }
}

/** The fields of a file; its `operation`, if it names one, must be the one that is run. */
async function readConfig(file: string, expected: string): Promise<Typed> {
  const text = await readSmallText(file).catch((error: unknown) => {
    throw error instanceof UserError
      ? new RequestError(error.code, error.problem, error.subject)
      : error;
  });
  try {
    const values: unknown = parseJsonText(text);
    if (typeof values === 'object' && values !== null && !Array.isArray(values)) {
      const { operation = expected, ...fields } = values as Typed;
      Reflect.deleteProperty(fields, '$schema');
      if (operation !== expected) {
        throw new RequestError(
          'config-other-operation',
          say`The file holds options of ${JSON.stringify(operation)}, not of "${expected}".`,
          {
            file,
            field: 'operation',
            remedy: say`Give it to that command, or choose another file.`,
          },
        );
      }
      return fields;
    }
  } catch (error) {
    if (error instanceof RequestError) {
      throw error;
    }
    throw new RequestError(
      'json-malformed',
      say`The file is not JSON: ${(error as Error).message}.`,
      {
        file,
        remedy: say`Correct the file.`,
      },
    );
  }
  throw new RequestError('json-not-object', say`The file must hold a JSON object.`, {
    file,
    remedy: say`Write the fields of this command, such as ${'{"device": "cpu"}'}.`,
  });
}

/** An error about a field of the request names its flag. */
function nameFlag(error: unknown, fields: Fields): unknown {
  if (!(error instanceof UserError)) {
    return error;
  }
  const { file, field = '', remedy } = error.subject;
  return file !== undefined || !Object.hasOwn(fields, field)
    ? error
    : new UserError(error.code, error.problem, {
        field: flagName(field, fields[field]),
        remedy,
      });
}
