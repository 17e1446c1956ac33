import { englishInJson } from '../message';

/** Maximum number of characters of a result, so that it doesn't fill an agent's context. */
const mostCharacters = 24_000;
/** Lists are cut to these lengths, one after the other, until the result fits. */
const lengths = [100, 40, 20, 10, 5, 2];

/** A result as JSON that is short enough; lists that were cut say how much is missing. */
export function shortenResult(result: object): string {
  const whole = JSON.stringify(result, englishInJson);
  if (whole.length <= mostCharacters) return whole;
  const said: unknown = JSON.parse(whole);
  for (const length of lengths) {
    const cut = JSON.stringify(withShortLists(said, length));
    if (cut.length <= mostCharacters) return cut;
  }
  return `${whole.slice(0, mostCharacters)}… (cut: ${whole.length} characters)`;
}

function withShortLists(value: unknown, length: number): unknown {
  if (Array.isArray(value)) {
    const shortened = value.slice(0, length).map((one) => withShortLists(one, length));
    const missing = value.length - shortened.length;
    return missing === 0 ? shortened : [...shortened, `… ${missing} more`];
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [key, withShortLists(one, length)]),
  );
}
