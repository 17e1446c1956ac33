/** Part of a value. With an empty `path` as the first piece, the whole value. */
export interface Piece {
  readonly path: readonly (string | number)[];
  readonly value: unknown;
  /** True if it extends the list, object or text at `path`. */
  readonly adds?: true;
}

/** Piece in transit. */
export interface SentPiece {
  readonly piece: Piece;
  readonly isLast: boolean;
}

/** Maximum size of a piece: writing or reading it takes a few milliseconds on a slow machine. */
const pieceCharacters = 50_000;

/**
 * Splits a JSON value into pieces, so that no process serializes or parses for a long time. The value must not change
 * meanwhile.
 * @param most maximum characters of a piece, estimated
 */
export function* cut(value: unknown, most = pieceCharacters): Generator<Piece> {
  yield* cutAt([], value, most);
}

/** Same as {@link cut}, each piece with a flag whether more follow. */
export function* cutPieces(value: unknown): Generator<SentPiece, undefined> {
  let before: Piece | undefined;
  for (const piece of cut(value)) {
    if (before !== undefined) {
      yield { piece: before, isLast: false };
    }
    before = piece;
  }
  if (before !== undefined) {
    yield { piece: before, isLast: true };
  }
  return undefined;
}

function* cutAt(path: Piece['path'], value: unknown, most: number): Generator<Piece> {
  const isIndivisible = typeof value !== 'string' && (typeof value !== 'object' || value === null);
  if (isIndivisible || weigh(value, most) <= most) {
    yield { path, value };
  } else if (typeof value === 'string') {
    yield { path, value: '' };
    for (let from = 0; from < value.length; from += most) {
      yield { path, value: value.slice(from, from + most), adds: true };
    }
  } else if (Array.isArray(value)) {
    yield { path, value: [] };
    yield* cutEntries(path, value.entries(), most, (entries) => entries.map(([, item]) => item));
  } else {
    yield { path, value: {} };
    yield* cutEntries(path, Object.entries(value), most, Object.fromEntries);
  }
}

/** Entries that are short together go together. */
function* cutEntries<Key extends string | number>(
  path: Piece['path'],
  entries: Iterable<readonly [Key, unknown]>,
  most: number,
  join: (entries: readonly (readonly [Key, unknown])[]) => unknown,
): Generator<Piece> {
  let group: (readonly [Key, unknown])[] = [];
  let weight = 0;
  for (const [key, item] of entries) {
    const added = weigh(item, most) + keyLength(key);
    if (group.length > 0 && weight + added > most) {
      yield { path, value: join(group), adds: true };
      [group, weight] = [[], 0];
    }
    if (added > most) {
      yield* cutAt([...path, key], item, most);
    } else {
      group.push([key, item]);
      weight += added;
    }
  }
  if (group.length > 0) {
    yield { path, value: join(group), adds: true };
  }
}

/** Approximate number of JSON characters, or some number above `most`. Typed arrays are not inspected. */
function weigh(value: unknown, most: number): number {
  if (typeof value === 'string') return value.length + 2;
  if (typeof value === 'number') return Number.isInteger(value) ? 8 : 20;
  if (typeof value !== 'object' || value === null) return 5;
  let weight = 2;
  if (Array.isArray(value)) {
    for (const item of value) {
      weight += weigh(item, most - weight) + 1;
      if (weight > most) break;
    }
  } else if (Object.getPrototypeOf(value) === Object.prototype) {
    for (const [key, item] of Object.entries(value)) {
      weight += weigh(item, most - weight) + keyLength(key);
      if (weight > most) break;
    }
  }
  return weight;
}

const keyLength = (key: string | number): number => (typeof key === 'string' ? key.length + 4 : 1);

/** True if a piece is the whole value, or its first piece. */
export const begins = ({ path, adds }: Piece): boolean => path.length === 0 && adds !== true;

/** Joins pieces. */
export class Joiner {
  /** The value received so far. */
  public value: unknown;

  public add({ path, value, adds }: Piece): void {
    const key = path.at(-1);
    const holder = path.slice(0, -1).reduce(child, this.value);
    const known = key === undefined ? this.value : child(holder, key);
    const joined = adds === true ? extended(known, value) : value;
    if (key === undefined) {
      this.value = joined;
    } else {
      set(holder as object, key, joined);
    }
  }
}

function child(value: unknown, key: string | number): unknown {
  return Object.getOwnPropertyDescriptor(value, key)?.value;
}

/** A list, an object or a text, extended at its end. */
function extended(known: unknown, more: unknown): unknown {
  if (typeof known === 'string') return known + String(more);
  if (Array.isArray(known)) {
    for (const item of more as unknown[]) known.push(item);
  } else {
    for (const [key, item] of Object.entries(more as object)) set(known as object, key, item);
  }
  return known;
}

/** Also of a key that objects have a setter for. */
function set(holder: object, key: string | number, value: unknown): void {
  if (key === '__proto__') {
    Object.defineProperty(holder, key, {
      ...{ value, configurable: true, enumerable: true, writable: true },
    });
  } else {
    (holder as Record<string | number, unknown>)[key] = value;
  }
}
