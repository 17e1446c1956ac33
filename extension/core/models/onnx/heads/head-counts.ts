import { intAttribute } from '../node-attributes';
import type { GraphIndex, GraphNode } from '../graph-index';
import type { ValueShapes } from '../values/value-shapes';
import type { GroupPlace } from './group-places';

/** Operators that pass the number of heads through. */
const passing: ReadonlySet<string> = new Set([
  ...['Cast', 'Identity', 'Squeeze', 'Unsqueeze'],
  ...['Add', 'Sub', 'Mul', 'Div', 'Equal', 'Where', 'Min', 'Max', 'Mod'],
]);

/** Returns the indices in a size input that are rewritten for fewer heads. */
type RewrittenIndices = (node: GraphNode, input: number) => ReadonlySet<number>;

/**
 * True if the number of heads that `shape` reads from a value with this place is used only as that number, so that no
 * other size changes.
 */
export function countsStay(
  index: GraphIndex,
  shapes: ValueShapes,
  shape: GraphNode,
  place: GroupPlace,
  rewritten: RewrittenIndices,
): boolean {
  const numbers = (name = ''): readonly number[] | undefined => {
    const found = shapes.contents(name)?.map(Number);
    return found?.some(Number.isNaN) === true ? undefined : found;
  };
  const elementCount = (name: string): number | undefined => {
    const sizes = shapes.of(name);
    const [length = 1] = sizes ?? [];
    return sizes === undefined || typeof length !== 'number' ? undefined : length;
  };
  /** Indices of the counts in the first output; undefined if unknown. */
  const outputIndices = (
    node: GraphNode,
    value: string,
    marked: ReadonlySet<number>,
  ): readonly number[] | undefined => {
    const { input, output } = node.proto;
    const length = elementCount(value);
    if (length === undefined) {
      return undefined;
    }
    const at = (number: number): number => (number < 0 ? number + length : number);
    if (passing.has(node.op) || (node.op === 'Reshape' && input[1] !== value)) {
      const made = elementCount(output[0] ?? '');
      return length === made
        ? [...marked]
        : made === undefined
          ? undefined
          : Array.from({ length: made }, (_, i) => i);
    }
    switch (node.op) {
      case 'Gather':
        return input[0] === value
          ? numbers(input[1])?.flatMap((number, i) => (marked.has(at(number)) ? [i] : []))
          : undefined;
      case 'Slice': {
        const [[start], [end]] = [numbers(input[1]) ?? [], numbers(input[2]) ?? []];
        const step = (input[4] ?? '') === '' ? 1 : numbers(input[4])?.[0];
        const isKnown = start !== undefined && end !== undefined && step === 1;
        return isKnown && input[0] === value
          ? [...marked].flatMap((one) =>
              one >= at(start) && one < at(end) ? [one - at(start)] : [],
            )
          : undefined;
      }
      case 'Concat': {
        const lengths = input.map(elementCount);
        const before = (place: number): number =>
          lengths.slice(0, place).reduce<number>((all, one) => all + (one ?? Number.NaN), 0);
        const found = input.flatMap((name, i) =>
          name === value ? [...marked].map((one) => before(i) + one) : [],
        );
        return found.some(Number.isNaN) ? undefined : found;
      }
      default:
        return undefined;
    }
  };
  const stay = (value: string, marked: ReadonlySet<number>): boolean =>
    marked.size === 0 ||
    (!index.outputs.has(value) &&
      index.consumersOf(value).every((node) => {
        const { input, output } = node.proto;
        if ((node.op === 'Reshape' || node.op === 'Expand') && input[1] === value) {
          const again = rewritten(node, 1);
          return input[0] !== value && [...marked].every((one) => again.has(one));
        }
        const behind = node.op === 'Shape' ? [] : outputIndices(node, value, marked);
        return behind !== undefined && stay(output[0] ?? '', new Set(behind));
      }));
  const rank = shapes.of(shape.proto.input[0] ?? '')?.length;
  const from = intAttribute(shape.proto, 'start', 0);
  if (rank === undefined) {
    return false;
  }
  const one = rank + place.axis - (from < 0 ? from + rank : from);
  const length = elementCount(shape.proto.output[0] ?? '');
  const isCounted = one >= 0 && (length === undefined || one < length);
  return stay(shape.proto.output[0] ?? '', new Set(isCounted ? [one] : []));
}
