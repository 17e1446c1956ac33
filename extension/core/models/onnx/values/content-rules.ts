import type { Dimension } from '../../../onnx/graph-builder';
import { intAttribute } from '../node-attributes';
import type { ShapeQuery } from './shape-query';

type Contents = readonly Dimension[] | undefined;
type ContentRule = (query: ShapeQuery) => Contents;

const same: ContentRule = ({ contents }) => contents(0);

/** Arithmetic on sizes, where all of them are known numbers. */
function arithmetic(compute: (a: number, b: number) => number): ContentRule {
  return (query) => {
    const [a, b] = [query.contents(0), query.contents(1)];
    if (
      a === undefined ||
      b === undefined ||
      (a.length > 1 && b.length > 1 && a.length !== b.length)
    ) {
      return undefined;
    }
    return Array.from({ length: Math.max(a.length, b.length) }, (_, i) => {
      const [x, y] = [a[a.length === 1 ? 0 : i], b[b.length === 1 ? 0 : i]];
      return typeof x === 'number' && typeof y === 'number' ? compute(x, y) : query.fresh();
    });
  };
}

function numbers(values: Contents): number[] | undefined {
  const found = values?.filter((value) => typeof value === 'number');
  return found?.length === values?.length ? found : undefined;
}

/** Elements of short one-dimensional values, by operator. */
export const contentRules: Readonly<Record<string, ContentRule>> = {
  Identity: same,
  Cast: same,
  Squeeze: same,
  Unsqueeze: same,
  Reshape: same,
  Add: arithmetic((a, b) => a + b),
  Sub: arithmetic((a, b) => a - b),
  Mul: arithmetic((a, b) => a * b),
  Shape: ({ node, shape }) => {
    const end = intAttribute(node, 'end', Number.MAX_SAFE_INTEGER);
    return shape(0)?.slice(intAttribute(node, 'start', 0), end);
  },
  Concat: ({ node, contents }) => {
    const parts = node.input.map((_, place) => contents(place));
    const found = parts.filter((part) => part !== undefined);
    return found.length === parts.length ? found.flat() : undefined;
  },
  Gather: ({ contents }) => {
    const [values, indices] = [contents(0), numbers(contents(1))];
    if (values === undefined || indices === undefined) {
      return undefined;
    }
    const chosen = indices.map((index) => values.at(index));
    const found = chosen.filter((value) => value !== undefined);
    return found.length === chosen.length ? found : undefined;
  },
  Slice: ({ node, contents }) => {
    const values = contents(0);
    const [starts, ends] = [numbers(contents(1)), numbers(contents(2))];
    const steps = node.input.length > 4 ? numbers(contents(4)) : [1];
    const [start, end] = [starts?.[0], ends?.[0]];
    const simple = start !== undefined && end !== undefined && steps?.[0] === 1;
    return simple ? values?.slice(start, end) : undefined;
  },
};
