import * as v from 'valibot';
import { readText } from '../../data/text-file';
import { parseDocument } from '../../jobs/parse-document';
import { UserError } from '../../user-error';
import { groundType, inferType, isInstance } from './infer-type';
import type { Library } from './library';
import { parseTerm } from './parse-term';
import { isPrimitive, primitiveType, printType, programType, functionType } from './primitives';
import { Rejection } from './rejection';
import { printTerm } from './term';
import type { Type } from './primitives';
import { say, verbatim } from '../../message';

export const libraryEntrySchema = v.pipe(
  v.object({
    name: v.pipe(
      v.string(),
      v.regex(
        /^[^\s()$#][^\s()]*$/,
        'A name has no spaces or parentheses and starts with no $ or #',
      ),
      v.check((name) => name !== 'lam', '"lam" is no name'),
    ),
    /** Closed term of an invention. */
    term: v.optional(v.string()),
    /** `T -> T`; defaults to the term's most general type, with every variable replaced by T. */
    type: v.optional(v.string()),
    /** Defaults to a uniform distribution. */
    logWeight: v.optional(v.pipe(v.number(), v.maxValue(0, 'A log-weight is 0 at most'))),
  }),
  v.check(
    ({ name, term }) => isPrimitive(name) === (term === undefined),
    'An entry that is no primitive has a term, and a primitive has none',
  ),
);

const schema = v.object({
  format: v.literal('espalier.symboliclibrary'),
  version: v.literal(1),
  /** In the order in which the search enumerates programs of equal likelihood. */
  entries: v.pipe(
    v.array(libraryEntrySchema),
    v.minLength(1, 'A library has an entry'),
    v.check(
      (entries) => new Set(entries.map(({ name }) => name)).size === entries.length,
      'Two entries have one name',
    ),
  ),
});

/** Content of a library file. */
export type LibraryDocument = v.InferOutput<typeof schema>;

/** @throws UserError that names the file and the invalid field */
export function parseLibrary(text: string, file: string): Library {
  const { entries } = parseDocument(schema, text, file, say`a library of symbolic programs`);
  const names = new Set(entries.map(({ name }) => name));

  /** Converts rejections to errors that name a field of an entry. */
  const withField = <Result>(name: string, field: string, action: () => Result): Result => {
    try {
      return action();
    } catch (error) {
      if (!(error instanceof Rejection)) {
        throw error;
      }
      const index = entries.findIndex((entry) => entry.name === name);
      throw new UserError('library-entry-invalid', verbatim(error.message), {
        file,
        field: `entries.${index}.${field}`,
        remedy: say`Correct the field.`,
      });
    }
  };

  const terms = new Map(
    entries.map(({ name, term }) => [
      name,
      term === undefined
        ? undefined
        : withField(name, 'term', () =>
            parseTerm(term, (other) => isPrimitive(other) || names.has(other)),
          ),
    ]),
  );
  const declared = new Map(entries.map(({ name, type }) => [name, type]));
  const types = new Map<string, Type>();
  const open = new Set<string>();
  const resolveType = (name: string): Type => {
    const known = types.get(name);
    if (known !== undefined) {
      return known;
    }
    if (open.has(name)) {
      throw new Rejection('type-error', `${name} uses itself.`);
    }
    open.add(name);
    const term = terms.get(name);
    const general =
      term === undefined || isPrimitive(name)
        ? symbolType(name)
        : withField(name, 'term', () => inferType(term, resolveType));
    const type = withField(name, 'type', () => chosenType(general, declared.get(name)));
    types.set(name, type);
    return type;
  };

  return {
    entries: entries.map(({ name, logWeight = -Math.log(entries.length) }) => {
      const term = terms.get(name);
      return { name, ...(term === undefined ? {} : { term }), type: resolveType(name), logWeight };
    }),
  };
}

function symbolType(name: string): Type {
  return isPrimitive(name) ? primitiveType(name) : programType;
}

/** Declared instance of the general type. */
function chosenType(general: Type, declared: string | undefined): Type {
  if (declared === undefined) {
    return groundType(general);
  }
  const type = parseType(declared);
  if (type === undefined) {
    throw new Rejection(
      'type-error',
      `"${declared}" is no type; one is written T, T -> T or (T -> T) -> T.`,
    );
  }
  if (!isInstance(general, type)) {
    throw new Rejection('type-error', `The term's type is ${printType(general)}, not ${declared}.`);
  }
  return type;
}

/** @throws UserError if the file isn't readable or isn't a library */
export async function readLibrary(file: string): Promise<Library> {
  return parseLibrary(await readText(file), file);
}

/** Converts a library to its document. */
export function libraryDocument({ entries }: Library): LibraryDocument {
  return {
    format: 'espalier.symboliclibrary',
    version: 1,
    entries: entries.map(({ name, term, type, logWeight }) => ({
      name,
      ...(term === undefined ? {} : { term: printTerm(term) }),
      type: printType(type),
      logWeight,
    })),
  };
}

/** Parses the output of `printType` for a type without variables; undefined if the text is invalid. */
function parseType(text: string): Type | undefined {
  const tokens = text.match(/->|[()]|[^\s()]+?(?=->|[\s()]|$)/g) ?? [];
  // Real types are short; this limits the parser's recursion depth.
  if (tokens.length > 200) {
    return undefined;
  }
  let next = 0;

  const simple = (): Type | undefined => {
    const token = tokens[next++];
    if (token !== '(') {
      return token === 'T' ? programType : undefined;
    }
    const inner = arrows();
    return tokens[next++] === ')' ? inner : undefined;
  };

  const arrows = (): Type | undefined => {
    const left = simple();
    if (left === undefined || tokens[next] !== '->') {
      return left;
    }
    next++;
    const right = arrows();
    return right === undefined ? undefined : functionType([left], right);
  };

  const type = arrows();
  return next === tokens.length ? type : undefined;
}
