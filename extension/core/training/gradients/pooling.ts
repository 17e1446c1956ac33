import type { Value } from '../../onnx/graph-builder';
import { intAttribute, intsAttribute } from '../../models/onnx/node-attributes';
import { windowOf } from '../../models/onnx/window-shapes';
import { spreadBack } from './convolution';
import type { NodeGradient, Rule } from './node-gradient';

/** The places of the maxima count through the whole input; windows may overlap, so they are added. */
const maxPool: Rule = (n) => [
  () => {
    const places = n.reshape(n.output(1), -1);
    const zeros = n.op('Expand', [n.scalar(0), n.reshape(n.op('Size', [n.x]), 1)]);
    const flat = n.op('ScatterElements', [zeros, places, n.reshape(n.dy, -1)], {
      axis: 0,
      reduction: 'add',
    });
    return n.reshapeLike(flat, n.x);
  },
];

/** Every mean is spread over its window: a transposed convolution with a window of ones. */
const averagePool: Rule = (n) => [
  () => {
    const kernel = intsAttribute(n.node, 'kernel_shape') ?? [];
    const window = windowOf(n.node, kernel, n.shapeOf(n.x)?.slice(2));
    if (window === undefined || intAttribute(n.node, 'ceil_mode', 0) === 1) {
      return n.fail('Windows that reach beyond the input (ceil_mode) cannot be trained through.');
    }
    const size = kernel.reduce((product, length) => product * length, 1);
    const { begins, ends, strides } = window;
    const padded = [...begins, ...ends].some((count) => count > 0);
    const shared =
      padded && intAttribute(n.node, 'count_include_pad', 0) === 0
        ? n.div(n.dy, counts(n, kernel, strides, [...begins, ...ends]))
        : n.scale(n.dy, 1 / size);
    // Channels do not mix: each is an image of its own.
    const images = (value: Value): Value =>
      n.reshape(
        value,
        -1,
        1,
        n.op('Slice', [
          n.op('Shape', [value]),
          n.graph.ints([2]),
          n.graph.ints([2 + kernel.length]),
        ]),
      );
    const ones = n.graph.numbers(
      n.typeOf(n.x),
      Array.from({ length: size }, () => 1),
      [1, 1, ...kernel],
    );
    return n.reshapeLike(spreadBack(n, images(shared), ones, window, 1), n.x);
  },
];

/** How many elements of the input each window holds, padding not counted. */
function counts(
  n: NodeGradient,
  kernel: readonly number[],
  strides: readonly number[],
  pads: readonly number[],
): Value {
  const size = kernel.reduce((product, length) => product * length, 1);
  const ones = n.expandLike(n.scalar(1), n.x);
  const share = n.op('AveragePool', [ones], {
    kernel_shape: kernel,
    strides,
    pads,
    count_include_pad: 1,
  });
  return n.scale(share, size);
}

const globalAverage: Rule = (n) => [() => n.expandLike(n.div(n.dy, n.ratioOfSizes(n.x, n.y)), n.x)];

const globalMax: Rule = (n) => [
  () => {
    const axes = Array.from({ length: n.rankOf(n.x) - 2 }, (_, i) => i + 2);
    const chosen = n.indicator(n.op('Equal', [n.x, n.y]));
    return n.mul(chosen, n.div(n.dy, n.sum(chosen, axes, 1)));
  },
];

export const poolingRules: Readonly<Record<string, Rule>> = {
  MaxPool: maxPool,
  AveragePool: averagePool,
  GlobalAveragePool: globalAverage,
  GlobalMaxPool: globalMax,
};
