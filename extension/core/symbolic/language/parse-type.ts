import { functionType, programType } from './type';
import type { Type } from './type';

/** Parses what `printType` writes of a type without variables; undefined where the text is none. */
export function parseType(text: string): Type | undefined {
  const tokens = text.match(/->|[()]|[^\s()]+?(?=->|[\s()]|$)/g) ?? [];
  // A type of the language has few parts; this bounds how deep the parser goes.
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
