import type { Value } from '../../onnx/graph-builder';
import { intAttribute } from '../../models/onnx/node-attributes';
import { kernelOf, windowOf } from '../../models/onnx/window-shapes';
import type { Window } from '../../models/onnx/window-shapes';
import type { NodeGradient, Rule } from './node-gradient';

const conv: Rule = (n) => {
  const [x, weights, bias] = [n.input(0), n.input(1), n.input(2)];
  const rank = n.rankOf(x);
  const group = intAttribute(n.node, 'group', 1);
  const spatial = Array.from({ length: rank - 2 }, (_, i) => i + 2);
  const window = (): Window => {
    const kernel = kernelOf(n.node, n.shapeOf(weights));
    const found =
      kernel === undefined ? undefined : windowOf(n.node, kernel, n.shapeOf(x)?.slice(2));
    return found ?? n.fail('The size of its window does not follow from the graph.');
  };
  return [
    () => inputGradient(n, window(), group),
    () => weightGradient(n, window(), group),
    () => n.reshapeLike(n.sum(n.dy, [0, ...spatial], 0), bias),
  ];
};

/**
 * Every output is spread back through the window: a transposed convolution, cut to the input, with
 * zeros where the last stride left rows of the input unread.
 */
function inputGradient(n: NodeGradient, window: Window, group: number): Value {
  return spreadBack(n, n.dy, n.input(1), window, group);
}

/** Transposed convolution of `gradient` whose result has the spatial sizes of the node's input. */
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

/**
 * dW[o, c, k] = Σ over examples and places of dy[o, place] · x[c, place · stride + k · dilation]: a
 * convolution of x by dy with examples and channels exchanged, and with stride and dilation exchanged.
 */
function weightGradient(n: NodeGradient, window: Window, group: number): Value {
  const { strides, dilations, begins, ends, kernel } = window;
  const { graph } = n;
  const rank = kernel.length + 2;
  const places = kernel.map((_, axis) => axis);
  const channels = n.sizeOf(n.input(1), 1);
  const outputs = n.op('Transpose', [n.dy], { perm: [1, 0, ...places.map((axis) => axis + 2)] });
  const rest = n.op('Slice', [
    n.op('Shape', [n.x]),
    graph.ints([2]),
    graph.ints([Number.MAX_SAFE_INTEGER]),
  ]);
  const batch = n.sizeOf(n.x, 0);
  // [batch, group, channels, …] → [channels, group · batch, …]
  const images =
    group === 1
      ? n.op('Transpose', [n.x], { perm: [1, 0, ...places.map((axis) => axis + 2)] })
      : n.reshape(
          n.op('Transpose', [n.reshape(n.x, batch, group, channels, rest)], {
            perm: [2, 1, 0, ...places.map((axis) => axis + 3)],
          }),
          channels,
          n.op('Mul', [batch, graph.ints([group])]),
          rest,
        );
  const product = n.op('Conv', [images, outputs], {
    strides: dilations,
    dilations: strides,
    pads: [...begins, ...ends],
    group,
  });
  // Rows of the input that no output reads make the result longer than the kernel.
  const cut = strides.every((stride) => stride === 1)
    ? product
    : n.op('Slice', [
        product,
        graph.ints(places.map(() => 0)),
        graph.ints(kernel),
        graph.ints(places.map((axis) => axis + 2)),
      ]);
  const perm = [1, 0, ...Array.from({ length: rank - 2 }, (_, axis) => axis + 2)];
  return n.op('Transpose', [cut], { perm });
}

export const convolutionRules: Readonly<Record<string, Rule>> = { Conv: conv };
