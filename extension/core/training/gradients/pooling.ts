import { DataType } from '../../onnx/graph-builder';
import type { Value } from '../../onnx/graph-builder';
import { intAttribute, intsAttribute } from '../../models/onnx/graph-index';
import { slidingWindow } from '../../models/onnx/values/window-shapes';
import { spreadBack } from './convolution';
import type { NodeGradient, Rule } from './node-gradient';

const float32: number = DataType.FLOAT;

const maxPool: Rule = (n) => [
  () => {
    const kernel = intsAttribute(n.node, 'kernel_shape') ?? [];
    return dividesImage(n, kernel) ? shareMaxima(n, kernel) : addAtMaxima(n);
  },
];

/** True if the pooling windows don't overlap and cover the images. */
function dividesImage(n: NodeGradient, kernel: readonly number[]): boolean {
  const image = n.shapeOf(n.x)?.slice(2);
  const window = slidingWindow(n.node, kernel, image);
  if (window === undefined || n.typeOf(n.x) !== float32 || kernel.length !== 2) {
    return false;
  }
  const { strides, dilations, begins, ends } = window;
  return (
    kernel.every((size, axis) => strides[axis] === size && dilations[axis] === 1) &&
    [...begins, ...ends].every((pad) => pad === 0) &&
    kernel.every((size, axis) => Number(image?.[axis]) % size === 0)
  );
}

/**
 * Finds the maxima by comparison, which takes half the time of a MaxPool with indices. Elements of a window with the
 * same maximum share its gradient.
 */
function shareMaxima(n: NodeGradient, kernel: readonly number[]): Value {
  const scales = n.graph.floats([1, 1, ...kernel], [4]);
  const enlarged = (value: Value): Value =>
    n.op('Resize', [value, '', scales], {
      mode: 'nearest',
      coordinate_transformation_mode: 'asymmetric',
      nearest_mode: 'floor',
    });
  const chosen = n.indicator(n.op('Equal', [n.x, enlarged(n.y)]));
  const share = n.op('AveragePool', [chosen], { kernel_shape: kernel, strides: kernel });
  const size = kernel.reduce((product, length) => product * length, 1);
  return n.mul(chosen, enlarged(n.div(n.dy, n.scale(share, size))));
}

/** Adds the gradient at the indices of the maxima, which refer to the whole input; windows may overlap. */
function addAtMaxima(n: NodeGradient): Value {
  const places = n.reshape(n.output(1), -1);
  const zeros = n.op('Expand', [n.scalar(0), n.reshape(n.op('Size', [n.x]), 1)]);
  const flat = n.op('ScatterElements', [zeros, places, n.reshape(n.dy, -1)], {
    axis: 0,
    reduction: 'add',
  });
  return n.reshapeLike(flat, n.x);
}

/** Spreads every mean over its window: a transposed convolution with a window of ones. */
const averagePool: Rule = (n) => [
  () => {
    const kernel = intsAttribute(n.node, 'kernel_shape') ?? [];
    const window = slidingWindow(n.node, kernel, n.shapeOf(n.x)?.slice(2));
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
    // Channels are independent, so each is treated as an image.
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

/** Number of input elements in each window, without padding. */
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
