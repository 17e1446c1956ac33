import { mutate, pick } from './mutate';
import type { Random } from './mutate';

/** Replacements for a value: other types, and numbers at which sizes overflow. */
const strange: readonly unknown[] = [
  ...[null, true, '', [], {}, 'x'.repeat(5000), '../../other', '\u202e\u0000'],
  ...[0, -1, 0.5, 1e308, 2 ** 31, 2 ** 53, [[[[]]]], { length: 1e9 }],
];

/** Placeholder for {@link nested}, which no JSON writer can serialize. */
const deep = 'deep';
const nested = '['.repeat(50_000) + ']'.repeat(50_000);

/** It takes a hundred times as long as what else is put in. */
const deepOneIn = 100;

/** A copy of a JSON text with some values exchanged, left out or nested; other bytes where it is no JSON. */
export function mutateJson(bytes: Buffer, random: Random): Buffer {
  let root: unknown;
  try {
    root = JSON.parse(bytes.toString('utf8'));
  } catch {
    return mutate(bytes, bytes.length, bytes, random);
  }
  for (let count = 1 + random(3); count > 0; count--) {
    changeIn(root, random);
  }
  return Buffer.from(JSON.stringify(root).replaceAll(`"${deep}"`, nested));
}

/** Changes one value somewhere in an object or array. */
function changeIn(value: unknown, random: Random): void {
  if (typeof value !== 'object' || value === null) return;
  const keys = Object.keys(value);
  if (keys.length === 0) return;
  const key = pick(keys, random);
  const inner: unknown = Reflect.get(value, key);
  if (typeof inner === 'object' && inner !== null && random(3) > 0) {
    changeIn(inner, random);
  } else if (random(4) === 0) {
    Reflect.deleteProperty(value, key);
  } else {
    // A copy: what is put in may be changed in turn.
    Reflect.set(
      value,
      key,
      random(deepOneIn) === 0 ? deep : structuredClone(pick(strange, random)),
    );
  }
}
