import type * as v from 'valibot';
import { pick } from './mutate';
import type { Random } from './mutate';

/** Parts of a schema that define its values. */
interface Node {
  readonly type: string;
  readonly entries?: Readonly<Record<string, Node>>;
  readonly item?: Node;
  readonly items?: readonly Node[];
  readonly options?: readonly unknown[];
  readonly wrapped?: Node;
  readonly key?: Node;
  readonly value?: Node;
  readonly literal?: unknown;
  readonly getter?: () => Node;
}

const texts = [
  ...['', 'block.1.attention', 'model.layers.0.mlp.up_proj.weight', '0-3,7', '/etc/passwd'],
  ...['../../other', 'a'.repeat(64), '\u202eevil\u0000', '__proto__', '2026-01-01T00:00:00.000Z'],
];
const numbers = [0, 1, 2, 3, 32, 0.5, -1, 1e9, 2 ** 53, 1e308];
/** Deeper than that, what may be absent is. */
const mostDepth = 12;

/** A value in the shape of a schema: objects, lists and choices are right, texts and numbers any. */
export function sampleValue(schema: v.GenericSchema, random: Random): unknown {
  return sample(schema, random, 0);
}

function sample(node: Node, random: Random, depth: number): unknown {
  const inner = (other: Node): unknown => sample(other, random, depth + 1);
  const few = <T>(make: () => T): T[] =>
    Array.from({ length: depth > mostDepth ? 0 : random(4) }, make);
  const { entries = {}, item, items = [], options = [], wrapped, value, key } = node;
  switch (node.type) {
    case 'object':
    case 'loose_object':
    case 'strict_object':
      return Object.fromEntries(
        Object.entries(entries).flatMap(([name, entry]) => {
          const made = inner(entry);
          return made === undefined ? [] : [[name, made]];
        }),
      );
    case 'array':
      return item && few(() => inner(item));
    case 'tuple':
    case 'loose_tuple':
    case 'strict_tuple':
    case 'tuple_with_rest':
      return items.map(inner);
    case 'record':
      return key && value && Object.fromEntries(few(() => [String(inner(key)), inner(value)]));
    case 'union':
    case 'variant':
      return inner(pick(options, random) as Node);
    case 'intersect':
      return Object.assign({}, ...options.map((option) => inner(option as Node)));
    case 'picklist':
    case 'enum':
      return pick(options, random);
    case 'literal':
      return node.literal;
    case 'optional':
    case 'exact_optional':
    case 'nullish':
    case 'undefinedable':
      return depth > mostDepth || random(2) === 0 ? undefined : wrapped && inner(wrapped);
    case 'nullable':
      return random(4) === 0 ? null : wrapped && inner(wrapped);
    case 'lazy':
      return node.getter && inner(node.getter());
    case 'boolean':
      return random(2) === 0;
    case 'number':
      return pick(numbers, random);
    case 'string':
      return pick(texts, random);
    default:
      return pick<unknown>([...texts, ...numbers, null, [], {}], random);
  }
}
