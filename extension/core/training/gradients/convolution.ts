import type { Value } from '../../onnx/graph-builder';
import { intAttribute } from '../../models/onnx/graph-index';
import { convolutionKernel, slidingWindow } from '../../models/onnx/values/window-shapes';
import type { Window } from '../../models/onnx/values/window-shapes';
import { weightGradient } from './convolution-weights';
import type { NodeGradient, Rule } from './node-gradient';

const conv: Rule = (n) => {
  const [x, weights, bias] = [n.input(0), n.input(1), n.input(2)];
  const rank = n.rankOf(x);
  const group = intAttribute(n.node, 'group', 1);
  const spatial = Array.from({ length: rank - 2 }, (_, i) => i + 2);
  const window = (): Window => {
    const kernel = convolutionKernel(n.node, n.shapeOf(weights));
    const found =
      kernel === undefined ? undefined : slidingWindow(n.node, kernel, n.shapeOf(x)?.slice(2));
    return found ?? n.fail('The size of its window does not follow from the graph.');
  };
  return [
    () => inputGradient(n, window(), group),
    () => weightGradient(n, window(), group),
    () => n.reshapeLike(n.sum(n.dy, [0, ...spatial], 0), bias),
  ];
};

/**
 * Gradient of the input: without strides, a convolution by the flipped window, which ONNX Runtime parallelizes fully;
 * otherwise a transposed convolution.
 */
function inputGradient(n: NodeGradient, window: Window, group: number): Value {
  const { kernel, strides, dilations, begins, ends } = window;
  const pads = [...begins, ...ends].map((pad, i) => {
    const axis = i % kernel.length;
    return ((kernel[axis] ?? 1) - 1) * (dilations[axis] ?? 1) - pad;
  });
  if (group > 1 || strides.some((stride) => stride > 1) || pads.some((size) => size < 0)) {
    return spreadBack(n, n.dy, n.input(1), window, group);
  }
  const perm = [1, 0, ...kernel.map((_, axis) => axis + 2)];
  const exchanged = n.op('Transpose', [reversed(n, n.input(1), kernel)], { perm });
  return n.op('Conv', [n.dy, exchanged], { dilations, pads });
}

/** Weights with flipped spatial axes. */
function reversed(n: NodeGradient, weights: Value, kernel: readonly number[]): Value {
  if (kernel.every((size) => size === 1)) {
    return weights;
  }
  const each = (value: number): Value => n.graph.ints(kernel.map(() => value));
  const axes = n.graph.ints(kernel.map((_, axis) => axis + 2));
  return n.op('Slice', [weights, each(-1), each(-Number.MAX_SAFE_INTEGER), axes, each(-1)]);
}

/**
 * Transposed convolution of `gradient`, with the spatial sizes of the node's input; input rows that the last stride
 * doesn't reach are 0.
 */
export function spreadBack(
  n: NodeGradient,
  gradient: Value,
  weights: Value,
  { kernel, strides, dilations, begins, ends }: Window,
  group: number,
): Value {
  const [input, output] = [n.shapeOf(n.x)?.slice(2), n.shapeOf(n.y)?.slice(2)];
  const unread = kernel.map((size, axis) => {
    const [length, count, stride = 1] = [input?.[axis], output?.[axis], strides[axis]];
    const extent = (size - 1) * (dilations[axis] ?? 1) + 1;
    return stride === 1
      ? 0
      : typeof length === 'number' && typeof count === 'number'
        ? length + (begins[axis] ?? 0) + (ends[axis] ?? 0) - ((count - 1) * stride + extent)
        : undefined;
  });
  const known = unread.filter((size) => size !== undefined);
  if (known.length === unread.length && known.every((size) => size >= 0)) {
    return n.op('ConvTranspose', [gradient, weights], {
      strides,
      dilations,
      group,
      pads: [...begins, ...ends],
      output_padding: known,
    });
  }
  const full = n.op('ConvTranspose', [gradient, weights], { strides, dilations, group });
  const axes = n.graph.ints(kernel.map((_, axis) => axis + 2));
  const length = n.op('Slice', [
    n.op('Shape', [n.x]),
    n.graph.ints([2]),
    n.graph.ints([Number.MAX_SAFE_INTEGER]),
  ]);
  const begin = n.graph.ints(begins);
  const cut = n.op('Slice', [full, begin, n.add(begin, length), axes]);
  const have = n.op('Slice', [
    n.op('Shape', [cut]),
    n.graph.ints([2]),
    n.graph.ints([Number.MAX_SAFE_INTEGER]),
  ]);
  const front = n.graph.ints([0, 0, ...kernel.map(() => 0), 0, 0]);
  return n.op('Pad', [cut, n.concat(front, n.sub(length, have))]);
}

export const convolutionRules: Readonly<Record<string, Rule>> = { Conv: conv };
