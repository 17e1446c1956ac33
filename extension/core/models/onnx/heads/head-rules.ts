import type { Dimension } from '../../../onnx/graph-builder';
import { elementwise } from '../matrices/graph-width';
import { intAttribute, intsAttribute } from '../graph-index';
import { fromFront } from '../values/shape-rules';
import type { Shape } from '../values/shape-query';
import { fusedRules } from './fused-rules';
import { placeLength, placeIn, sum } from './group-places';
import type { HeadRuleResult, HeadQuery, HeadRule } from './head-rule';

const inputName = ({ node }: HeadQuery, input: number): string => node.proto.input[input] ?? '';
const inputShape = (query: HeadQuery, input: number): Shape | undefined =>
  query.shape(inputName(query, input));
const inputContents = (query: HeadQuery, input: number): readonly Dimension[] | undefined =>
  query.contents(inputName(query, input));

/** Inputs that are as long along the axis, among those that are broadcast. */
function broadcast(query: HeadQuery, inputs: readonly number[]): HeadRuleResult | undefined {
  const { node, output, place, groups, shape } = query;
  const sizes = inputs.map((input) => {
    const shape = inputShape(query, input);
    return shape === undefined ? undefined : (shape.at(place.axis) ?? 1);
  });
  const whole = shape(node.proto.output[output] ?? '')?.at(place.axis);
  const size = placeLength(place, groups) ?? whole;
  return sizes.every((one) => one === 1 || one === size)
    ? {
        follows: inputs.flatMap((input, i) => (sizes[i] === size ? [[input, place] as const] : [])),
      }
    : undefined;
}

const each: HeadRule = (query) =>
  broadcast(
    query,
    query.node.proto.input.flatMap((name, input) => (name === '' ? [] : [input])),
  );

/** Rule: groups have the same place in the first input. */
const first: HeadRule = ({ place }) => ({ follows: [[0, place]] });

/** Operators over all axes from `axis` on, such as Softmax. The axis of the groups must precede it. */
const alongRows: HeadRule = (query) => {
  const { node, place } = query;
  const rank = inputShape(query, 0)?.length;
  // Before opset 13 it was 1.
  const absent = node.op.endsWith('Softmax') ? 1 : -1;
  const axis = intAttribute(node.proto, 'axis', absent);
  const front = axis < 0 ? axis : axis - (rank ?? 0);
  return rank !== undefined && place.axis < front ? first(query) : undefined;
};

const reduction: HeadRule = (query) => {
  const { node, place } = query;
  const rank = inputShape(query, 0)?.length;
  const axes = intsAttribute(node.proto, 'axes') ?? inputContents(query, 1);
  const isKept = intAttribute(node.proto, 'keepdims', 1) === 1;
  return isKept &&
    rank !== undefined &&
    axes?.every((axis) => typeof axis === 'number' && fromFront(axis, rank) !== rank + place.axis)
    ? first(query)
    : undefined;
};

/** Rule for a product of two values that depend on the input; matmuls with weights are handled elsewhere. */
const product: HeadRule = (query) => {
  switch (query.place.axis) {
    case -1:
      return { follows: [[1, query.place]] };
    case -2:
      return { follows: [[0, query.place]] };
    default:
      return broadcast(query, [0, 1]);
  }
};

const transpose: HeadRule = (query) => {
  const { node, place } = query;
  const rank = inputShape(query, 0)?.length;
  const order = intsAttribute(node.proto, 'perm');
  const from = order?.at(place.axis);
  return rank === undefined || from === undefined
    ? undefined
    : { follows: [[0, { ...place, axis: from - rank }]] };
};

/** Reshapes to sizes that the operator determines. */
const reshaping: HeadRule = (query) => {
  const { node, output, place, groups, shape } = query;
  const [from, to] = [shape(node.proto.output[output] ?? ''), inputShape(query, 0)];
  // The axis may have a computed size, but its length is known from the groups.
  const resized = from?.with(place.axis, placeLength(place, groups) ?? from.at(place.axis) ?? '');
  const before = resized && to && placeIn(resized, place, to, groups);
  return before && { follows: [[0, before]] };
};

/** Rule for a Reshape with sizes computed by the graph. */
const reshape: HeadRule = (query) => {
  const answer = reshaping(query);
  const [, before] = answer?.follows[0] ?? [];
  const { node, output, place, shape } = query;
  const [from, to] = [shape(node.proto.output[output] ?? '')?.length, inputShape(query, 0)?.length];
  if (answer === undefined || before === undefined || from === undefined || to === undefined) {
    return undefined;
  }
  const at = from + place.axis;
  const size = inputContents(query, 1)?.[at];
  const copies = intAttribute(node.proto, 'allowzero', 0) === 0 && at === to + before.axis;
  return size === -1 || (size === 0 && copies) ? answer : sized(query, answer, at);
};

/** Adds the size in the second input to an answer. */
function sized(
  { place, groups }: HeadQuery,
  answer: HeadRuleResult,
  at: number,
): HeadRuleResult | undefined {
  const length = placeLength(place, groups);
  return length === undefined
    ? undefined
    : { ...answer, sizes: [{ input: 1, numbers: new Map([[at, length]]) }] };
}

const expand: HeadRule = (query) => {
  const length = inputShape(query, 1)?.[0];
  const answer = broadcast(query, [0]);
  if (answer === undefined || typeof length !== 'number') {
    return undefined;
  }
  const at = length + query.place.axis;
  const size = inputContents(query, 1)?.[at];
  return at < 0 || size === 1 ? answer : sized(query, answer, at);
};

const concat: HeadRule = (query) => {
  const { node, place } = query;
  const rank = inputShape(query, 0)?.length;
  return rank === undefined ||
    fromFront(intAttribute(node.proto, 'axis', 0), rank) === rank + place.axis
    ? undefined
    : { follows: node.proto.input.map((_, input) => [input, place]) };
};

const split: HeadRule = (query) => {
  const { node, output, place, groups, shape } = query;
  const axis = intAttribute(node.proto, 'axis', 0);
  const own = axis < 0 ? axis : axis - (inputShape(query, 0)?.length ?? Number.NaN);
  const length = placeLength(place, groups);
  if (own !== place.axis) {
    return Number.isNaN(own) ? undefined : first(query);
  }
  const attribute = intsAttribute(node.proto, 'split');
  const isTold = (node.proto.input[1] ?? '') !== '';
  const lengths =
    attribute ??
    inputContents(query, 1) ??
    node.proto.output.map((name) => shape(name)?.at(place.axis));
  const numbers = lengths.filter((one) => typeof one === 'number');
  const from = sum(numbers.slice(0, output));
  const isEven = numbers.every((one) => one === numbers[0]);
  return length !== undefined &&
    numbers.length === node.proto.output.length &&
    (isTold || attribute !== undefined || isEven)
    ? {
        follows: [],
        piece: { from, to: from + (numbers[output] ?? 0), place },
        sizes: isTold ? [{ input: 1, numbers: new Map(numbers.entries()) }] : [],
        attributes: attribute === undefined ? [] : ['split'],
      }
    : undefined;
};

const slice: HeadRule = (query) => {
  const { place } = query;
  const shape = inputShape(query, 0);
  const [starts, ends] = [inputContents(query, 1), inputContents(query, 2)];
  const lengths = inputShape(query, 1)?.[0];
  const isGiven = inputName(query, 3) !== '';
  const axes = isGiven
    ? inputContents(query, 3)
    : typeof lengths === 'number'
      ? Array.from({ length: lengths }, (_, axis) => axis)
      : undefined;
  if (shape === undefined || axes?.every((axis) => typeof axis === 'number') !== true) {
    return undefined;
  }
  const own = shape.length + place.axis;
  const at = axes.findIndex((axis) => fromFront(axis, shape.length) === own);
  if (at < 0) {
    return first(query);
  }
  const [start, end, size] = [starts?.[at], ends?.[at], shape[own]];
  const step = inputName(query, 4) === '' ? 1 : inputContents(query, 4)?.[at];
  if (![start, end, size].every((one) => typeof one === 'number') || step !== 1) {
    return undefined;
  }
  const whole = Number(size);
  const clamp = (number: number): number =>
    Math.min(Math.max(number < 0 ? number + whole : number, 0), whole);
  const [from, to] = [clamp(Number(start)), clamp(Number(end))];
  return {
    follows: [],
    piece: { from, to, place },
    sizes: [from, to].map((number, i) => ({ input: i + 1, numbers: new Map([[at, number]]) })),
  };
};

/** Rule for selecting indices along another axis. */
const gather: HeadRule = (query) => {
  const { node, place } = query;
  const [data, chosen] = [inputShape(query, 0)?.length, inputShape(query, 1)?.length];
  if (data === undefined || chosen === undefined) {
    return undefined;
  }
  const axis = fromFront(intAttribute(node.proto, 'axis', 0), data);
  const at = data - 1 + chosen + place.axis;
  const from = at < axis ? at : at - chosen + 1;
  return at >= axis && at < axis + chosen
    ? undefined
    : { follows: [[0, { ...place, axis: from - data }]] };
};

/** Rotary embedding. It has a number of heads as attribute if its input is rows. */
const rotation: HeadRule = (query) => {
  const { node } = query;
  const [name] = ['num_heads'].filter((one) => intAttribute(node.proto, one, 0) !== 0);
  return { ...first(query), follows: [[0, query.place]], attributes: name ? [name] : [] };
};

const rules = (names: string | Iterable<string>, rule: HeadRule): Record<string, HeadRule> =>
  Object.fromEntries(
    (typeof names === 'string' ? names.split(' ') : [...names]).map((name) => [name, rule]),
  );

/** Rules by operator, from the place of groups in an output to their places in its inputs. */
export const headRules: Readonly<Record<string, HeadRule>> = {
  ...rules(elementwise, each),
  ...rules('Where And Or Not Equal Less LessOrEqual Greater GreaterOrEqual IsNaN', each),
  Dropout: first,
  ...rules('Softmax LogSoftmax LayerNormalization RMSNormalization', alongRows),
  ...rules('SimplifiedLayerNormalization', alongRows),
  ...rules('ReduceMean ReduceSum ReduceMax ReduceMin ReduceSumSquare ReduceL2', reduction),
  MatMul: product,
  Transpose: transpose,
  ...rules('Squeeze Unsqueeze Flatten', reshaping),
  Reshape: reshape,
  Expand: expand,
  Concat: concat,
  Split: split,
  Slice: slice,
  Gather: gather,
  ...rules('RotaryEmbedding com.microsoft:RotaryEmbedding', rotation),
  ...fusedRules,
};
