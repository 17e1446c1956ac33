import type { Token } from './playground-panel';

/** Tokens of each model, in the order of its text. */
export function splitColumns(
  tokens: Readonly<Record<string, Token>>,
  models: number,
): readonly (readonly Token[])[] {
  return Array.from({ length: models }, (_, model) => {
    const column: Token[] = [];
    for (let token = tokens[`${model}.0`]; token !== undefined;) {
      column.push(token);
      token = tokens[`${model}.${column.length}`];
    }
    return column;
  });
}

/** Number of the first token that two texts have differently; undefined as long as neither has one. */
export function firstDifference(columns: readonly (readonly Token[])[]): number | undefined {
  const [first = [], second = []] = columns;
  const place = first.findIndex(
    (token, i) => second[i] !== undefined && second[i].text !== token.text,
  );
  return place < 0 ? undefined : place;
}

/** Confidence of a model in a token, in three bands. */
export type Sureness = 'sure' | 'open' | 'unlikely';

export function classifySureness({ probability }: Token): Sureness {
  if (probability >= 0.5) return 'sure';
  return probability >= 0.1 ? 'open' : 'unlikely';
}
