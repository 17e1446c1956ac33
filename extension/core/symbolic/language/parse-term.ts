import { Rejection } from './rejection';
import { symbol, termSize } from './term';
import type { Term } from './term';
import { typeLookup } from './library';
import type { Library } from './library';
import { inferType, isInstance } from './infer-type';
import { isPrimitive, printType, programType } from './primitives';

/**
 * Maximum number of tokens of a text. Far above {@link maxProgramSize}; limits the recursion depth of functions on
 * terms.
 */
const maxTokens = 2000;

interface Token {
  readonly text: string;
  readonly position: number;
}

/**
 * Parses a closed term: `name`, `$0`, `(lam body)`, `(function argument …)`.
 * @param knows returns true if a symbol exists
 * @throws Rejection with the position of the error, or if the text is too long
 */
export function parseTerm(text: string, knows: (name: string) => boolean): Term {
  const tokens = tokenize(text);
  let next = 0;

  const fail = (message: string, position = tokens[next]?.position ?? text.length): never => {
    throw new Rejection('parse-error', `${message} (character ${position + 1}).`, position);
  };

  const atom = ({ text: name, position }: Token, lambdas: number): Term => {
    if (/^\$\d+$/.test(name)) {
      const index = Number(name.slice(1));
      return index < lambdas
        ? { kind: 'variable', index }
        : fail(`The variable ${name} is bound by no lambda`, position);
    }
    return knows(name) ? symbol(name) : fail(`There is no symbol "${name}"`, position);
  };

  const term = (lambdas: number): Term => {
    const token = tokens[next];
    if (token === undefined) {
      return fail('The program ends where a term is missing');
    }
    if (token.text === ')') {
      return fail('A term is missing before ")"');
    }
    next++;
    if (token.text !== '(') {
      return atom(token, lambdas);
    }
    let result: Term;
    if (tokens[next]?.text === 'lam') {
      next++;
      result = { kind: 'lambda', body: term(lambdas + 1) };
    } else {
      result = term(lambdas);
      do {
        result = { kind: 'application', function: result, argument: term(lambdas) };
      } while (next < tokens.length && tokens[next]?.text !== ')');
    }
    if (tokens[next]?.text !== ')') {
      fail('")" is missing');
    }
    next++;
    return result;
  };

  const result = term(0);
  if (next < tokens.length) {
    fail(`"${tokens[next]?.text ?? ''}" follows the end of the program`);
  }
  return result;
}

function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  for (const match of text.matchAll(/[()]|[^\s()]+/g)) {
    if (tokens.length === maxTokens) {
      throw new Rejection('too-big', `The text has more than ${maxTokens} words and parentheses.`);
    }
    tokens.push({ text: match[0], position: match.index });
  }
  return tokens;
}

/** Maximum number of symbols of a program. */
export const maxProgramSize = 150;

/**
 * Parses a program of the library: a closed term of type `T` with at most {@link maxProgramSize} symbols.
 * @throws Rejection with the error and its position
 */
export function parseProgram(text: string, library: Library): Term {
  const names = new Set(library.entries.map(({ name }) => name));
  const term = parseTerm(text, (name) => isPrimitive(name) || names.has(name));
  const size = termSize(term);
  if (size > maxProgramSize) {
    throw new Rejection(
      'too-big',
      `The program has ${size} symbols; at most ${maxProgramSize} are allowed.`,
    );
  }
  const type = inferType(term, typeLookup(library));
  if (!isInstance(type, programType)) {
    throw new Rejection(
      'type-error',
      `The program's type is ${printType(type)}, not ${printType(programType)}.`,
    );
  }
  return term;
}
