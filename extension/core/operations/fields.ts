import * as v from 'valibot';
import type { DocumentId } from '../document-names';
import type { FileKind } from './output-file';
import { automatic, parseMemorySize } from '../runtime/memory-size';
import { say } from '../message';
import type { Message } from '../message';

/** Declaration of a request field, from which help, docs, settings and validation are made. */
export interface Field<T = unknown, Present extends boolean = boolean> {
  readonly kind:
    | 'text'
    | 'path'
    | 'integer'
    | 'number'
    | 'size'
    | 'flag'
    | 'choice'
    | 'list'
    | 'paths'
    | 'numbers'
    | 'document';
  /** One line, without a full stop. */
  readonly description: string;
  /** Schema of a value that is present. */
  readonly schema: v.GenericSchema<unknown, T>;
  /** Description of valid values for errors: `--metric takes one of js, kl`. */
  readonly takes: Message;
  /** Placeholder of the value in help: `--memory SIZE`. */
  readonly placeholder: string;
  /** Value if none is given. */
  readonly default: T | undefined;
  /** Description of the default, if the operation computes it at run time. */
  readonly fallback: string | undefined;
  /**
   * True if a complete request always contains the field, because it is required or has a default.
   */
  readonly present: Present;
  readonly unit: string | undefined;
  readonly choices: readonly string[] | undefined;
  /** Description of each choice, if the settings show it. */
  readonly choiceTexts: Readonly<Record<string, string>> | undefined;
  /** Bounds of a number, both included. */
  readonly min: number | undefined;
  readonly max: number | undefined;
  /** A bound that is not included. */
  readonly above: number | undefined;
  /** The setting `espalier.<name>` that gives the value in the editor. */
  readonly setting: string | undefined;
  /** Choices that the setting does not offer. */
  readonly flagOnly: readonly string[];
  /** The flag, if it isn't the field's name in kebab case. */
  readonly flag: string | undefined;
  /** Effect of `--no-name`, for a flag that is on by default. */
  readonly off: string | undefined;
  /** Named by its place on the command line instead of a flag. */
  readonly positional: boolean;
  /** Error if the field is missing, instead of "MODEL is required." */
  readonly missing: Message | undefined;
  /** Types of documents whose files the operation reads by this path; a model or dataset is none. */
  readonly reads: readonly DocumentId[];
  /** Kind of file written to this path; undefined if a folder or nothing is written. */
  readonly writes: FileKind | undefined;
  /** Heading in help and docs. */
  readonly group: string;
}

type Bounds = Readonly<Partial<Record<'min' | 'max' | 'above', number | undefined>>>;

export type Fields = Readonly<Record<string, Field>>;
type ValueOf<F> = F extends Field<infer T> ? T : never;
type PresentKeys<F extends Fields> = {
  [K in keyof F]: F[K] extends Field<unknown, true> ? K : never;
}[keyof F];

/** A complete request: defaults are filled in. */
export type RequestOf<F extends Fields> = {
  readonly [K in PresentKeys<F>]: ValueOf<F[K]>;
} & {
  readonly [K in Exclude<keyof F, PresentKeys<F>>]?: ValueOf<F[K]>;
};

/** The given fields of a request; `buildRequest` fills in the rest. */
export type GivenOf<F extends Fields> = { readonly [K in keyof F]?: ValueOf<F[K]> };

interface Options<T> {
  readonly description: string;
  readonly default?: T;
  readonly fallback?: string;
  readonly required?: true;
  readonly placeholder?: string;
  readonly unit?: string;
  readonly setting?: string;
  readonly flagOnly?: readonly string[];
  readonly choiceTexts?: Readonly<Record<string, string>>;
  readonly flag?: string;
  readonly off?: string;
  readonly positional?: true;
  readonly missing?: Message;
  readonly reads?: readonly DocumentId[];
  readonly writes?: FileKind;
}
interface NumberOptions extends Options<number> {
  readonly min?: number;
  readonly max?: number;
  readonly above?: number;
}
type PresentIn<O> = O extends { readonly default: unknown } | { readonly required: true }
  ? true
  : false;

const notEmpty = v.pipe(v.string(), v.minLength(1));

export const text = <const O extends Options<string>>(options: O): Field<string, PresentIn<O>> =>
  make('text', v.string(), say`a text`, options, 'TEXT');

/** A file or folder. */
export const path = <const O extends Options<string>>(options: O): Field<string, PresentIn<O>> =>
  make('path', notEmpty, say`a path`, options, 'FILE');

const numeric =
  (
    kind: 'integer' | 'number',
    schema: v.GenericSchema<unknown, number>,
    expected: Message,
    placeholder: string,
  ) =>
  <const O extends NumberOptions>(options: O): Field<number, PresentIn<O>> =>
    make(kind, bounded(schema, options), describeRange(expected, options), options, placeholder);

export const integer = numeric(
  'integer',
  v.pipe(v.number(), v.safeInteger()),
  say`an integer`,
  'N',
);

export const number = numeric('number', v.pipe(v.number(), v.finite()), say`a number`, 'X');

const minSize = '64MiB';

/** An amount of memory with its unit, or `auto`; {@link parseMemorySize} gives its bytes. */
export const size = <const O extends Options<string>>(options: O): Field<string, PresentIn<O>> =>
  make(
    'size',
    v.pipe(
      v.string(),
      v.check(
        (value) =>
          value === automatic ||
          (/[a-z]/i.test(value) &&
            (parseMemorySize(value) ?? 0) >= (parseMemorySize(minSize) ?? 0)),
      ),
    ),
    say`a size with its unit, such as 4GiB, at least ${minSize}, or ${automatic}`,
    options,
    'SIZE',
  );

/** On the command line `--name`; `--no-name` if it is on by default; both if it has no default. */
export const flag = <const O extends Options<boolean>>(options: O): Field<boolean, PresentIn<O>> =>
  make('flag', v.boolean(), say`true or false`, options, '');

export const choice = <const C extends readonly string[], const O extends Options<C[number]>>(
  choices: C,
  options: O,
): Field<C[number], PresentIn<O>> =>
  make(
    'choice',
    v.picklist(choices),
    say`one of ${choices.join(', ')}`,
    { ...options, choices },
    'NAME',
  );

/** Pattern of a text field, and its description for errors. */
export interface Form {
  readonly pattern: RegExp;
  readonly takes: Message;
}

/** Text field with a pattern, such as `32x32`. */
export const formed = <const O extends Options<string>>(
  { pattern, takes }: Form,
  options: O,
): Field<string, PresentIn<O>> =>
  make('text', v.pipe(v.string(), v.regex(pattern)), takes, options, 'TEXT');

/** Several names, separated by commas, in repeated flags, or as a JSON array if a name contains a comma. */
export function list<
  const C extends readonly string[],
  const O extends Options<readonly C[number][]>,
>(
  options: O & { readonly choices?: C; readonly form?: Form },
): Field<readonly C[number][], PresentIn<O>> {
  const { choices, form } = options;
  const item: v.GenericSchema<unknown, C[number]> =
    choices !== undefined
      ? v.picklist(choices)
      : form === undefined
        ? notEmpty
        : v.pipe(v.string(), v.regex(form.pattern));
  const takes =
    choices === undefined ? (form?.takes ?? say`names`) : say`some of ${choices.join(', ')}`;
  const items: v.GenericSchema<unknown, readonly C[number][]> = v.array(item);
  return make('list', items, say`${takes}, separated by commas`, options, 'NAME,…');
}

/** Several files or folders, given as a {@link list} is. */
export const paths = <const O extends Options<readonly string[]>>(
  options: O,
): Field<readonly string[], PresentIn<O>> => {
  const items: v.GenericSchema<unknown, readonly string[]> = v.array(notEmpty);
  return make('paths', items, say`paths, separated by commas`, options, 'FILE,…');
};

const numberListField =
  (item: v.GenericSchema<unknown, number>, name: Message, placeholder: string) =>
  <const O extends Options<readonly number[]> & Bounds>(
    options: O,
  ): Field<readonly number[], PresentIn<O>> => {
    const items: v.GenericSchema<unknown, readonly number[]> = v.array(bounded(item, options));
    const takes = describeRange(name, options);
    return make('numbers', items, say`${takes}, separated by commas`, options, placeholder);
  };

/** Several numbers, separated by commas or given by a repeated flag. */
export const numbers = numberListField(v.pipe(v.number(), v.finite()), say`numbers`, 'X,…');

export const integers = numberListField(v.pipe(v.number(), v.safeInteger()), say`integers`, 'N,…');

/** Path of a document of one of some types, which the operation reads. */
export const document = <const O extends Options<string>>(
  types: DocumentId | readonly [DocumentId, ...DocumentId[]],
  options: O,
): Field<string, PresentIn<O>> => {
  const reads = typeof types === 'string' ? [types] : types;
  return make('path', notEmpty, say`a path`, { ...options, reads }, 'FILE');
};

/** Path of a file that the operation writes, which replaces only files of the same kind. */
export const newFile = <const O extends Options<string>>(
  kind: FileKind,
  options: O,
): Field<string, PresentIn<O>> =>
  make('path', notEmpty, say`a path`, { ...options, writes: kind }, 'FILE');

/** Path of a document; a request as JSON may hold the document itself instead. */
export const documentOrContent = <T, const O extends Options<string>>(
  type: DocumentId,
  schema: v.GenericSchema<unknown, T>,
  options: O,
): Field<string | T, PresentIn<O>> =>
  make(
    'document',
    v.union([notEmpty, schema]),
    say`the path of a document`,
    { ...options, reads: [type] },
    'FILE',
  );

/** Puts fields under a heading in help and docs. */
export function group<const F extends Fields>(heading: string, fields: F): F {
  return mapFields(fields, (field) => ({ ...field, group: heading })) as F;
}

/** Fields whose defaults are only shown, for operations that need to know which fields were given. */
export function leftOpen<const F extends Fields>(
  fields: F,
): { readonly [K in keyof F]: Field<ValueOf<F[K]>, false> } {
  return mapFields(fields, (field) => ({ ...field, present: false })) as {
    readonly [K in keyof F]: Field<ValueOf<F[K]>, false>;
  };
}

/** Description of a field's default; undefined if it has none. */
export function describeDefault({ default: value, fallback, kind }: Field): string | undefined {
  if (value === undefined) {
    return fallback;
  }
  if (kind === 'flag') {
    return value === true ? 'on' : 'off';
  }
  if (Array.isArray(value)) {
    return value.join(',') || 'none';
  }
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function make<T, P extends boolean>(
  kind: Field['kind'],
  schema: v.GenericSchema<unknown, T>,
  takes: Message,
  options: Options<NoInfer<T>> &
    Partial<Pick<Field, 'min' | 'max' | 'above' | 'choices'>> & { readonly default?: unknown },
  placeholder: string,
): Field<T, P> {
  return {
    kind,
    schema,
    takes,
    description: options.description,
    placeholder: options.placeholder ?? placeholder,
    default: options.default,
    fallback: options.fallback,
    present: (options.required === true || options.default !== undefined) as P,
    unit: options.unit,
    choices: options.choices,
    choiceTexts: options.choiceTexts,
    min: options.min,
    max: options.max,
    above: options.above,
    setting: options.setting,
    flagOnly: options.flagOnly ?? [],
    flag: options.flag,
    off: options.off,
    positional: options.positional === true,
    missing: options.missing,
    reads: options.reads ?? [],
    writes: options.writes,
    group: '',
  };
}

function bounded(
  schema: v.GenericSchema<unknown, number>,
  { min = -Infinity, max = Infinity, above = -Infinity }: Bounds,
): v.GenericSchema<unknown, number> {
  return v.pipe(schema, v.minValue(min), v.maxValue(max), v.gtValue(above));
}

/** `an integer of at least 1` */
function describeRange(what: Message, { min, max, above }: Bounds): Message {
  if (above !== undefined) {
    return max === undefined
      ? say`${what} above ${above}`
      : say`${what} above ${above} and at most ${max}`;
  }
  if (min === undefined) {
    return what;
  }
  return max === undefined ? say`${what} of at least ${min}` : say`${what} from ${min} to ${max}`;
}

/** `at least 1`, `0 to 1`, `above 0`, `above 0 and at most 1`; undefined without a lower bound. */
export function describeBounds({ min, max, above }: Bounds): string | undefined {
  if (above !== undefined) {
    return max === undefined ? `above ${above}` : `above ${above} and at most ${max}`;
  }
  if (min === undefined) {
    return undefined;
  }
  return max === undefined ? `at least ${min}` : `${min} to ${max}`;
}

function mapFields(fields: Fields, change: (field: Field) => Field): Fields {
  return Object.fromEntries(Object.entries(fields).map(([key, field]) => [key, change(field)]));
}

/** Fields without the settings that provide their values. */
export function withoutSettings<F extends Fields>(fields: F): F {
  return Object.fromEntries(
    Object.entries(fields).map(([name, field]) => [name, { ...field, setting: undefined }]),
  ) as F;
}
