import type { Value } from '../../onnx/graph-builder';
import { intAttribute } from '../../models/onnx/graph-index';
import { convolutionKernel, slidingWindow } from '../../models/onnx/values/window-shapes';
import type { Window } from '../../models/onnx/values/window-shapes';
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

/**
 * Maximum number of elements of a window for im2col over all positions at once; patches take that many times the
 * memory.
 */
const mostGathered = 64;
/** Minimum number of channels for one matmul per window position. */
const fewestChannels = 8;

/**
 * dW[o, c, k] = Σ over examples and positions of dy[o, position] · x[c, position · stride + k · dilation]. Selects the
 * fastest variant for ONNX Runtime's CPU provider (measured for 1 to 64 channels, windows of 1 × 1 and 3 × 3).
 */
function weightGradient(n: NodeGradient, window: Window, group: number): Value {
  const [outputs, channels] = n.shapeOf(n.input(1)) ?? [];
  const counts =
    n
      .shapeOf(n.y)
      ?.slice(2)
      .filter((size) => typeof size === 'number') ?? [];
  const isOpen = typeof channels !== 'number' || typeof outputs !== 'number';
  if (group > 1 || isOpen || counts.length < window.kernel.length) {
    return byExchange(n, window, group);
  }
  const places = window.kernel.reduce((product, size) => product * size, 1);
  const sizes = { outputs, channels, counts };
  if (channels >= fewestChannels || places === 1) {
    return byPlaces(n, window, sizes);
  }
  return channels * places <= mostGathered
    ? byPatches(n, window, sizes)
    : byExchange(n, window, group);
}

/** Sizes of a convolution. */
interface Sizes {
  readonly outputs: number;
  readonly channels: number;
  /** Outputs along each spatial axis. */
  readonly counts: readonly number[];
}

/**
 * One matmul per window position: dy as [outputs, examples · positions] by the part of x at that offset,
 * [channels, examples · positions].
 */
function byPlaces(n: NodeGradient, window: Window, { outputs, channels, counts }: Sizes): Value {
  const perm = [1, 0, ...window.kernel.map((_, axis) => axis + 2)];
  const dy = n.reshape(n.op('Transpose', [n.dy], { perm }), outputs, -1);
  const images = n.op('Transpose', [n.x], { perm });
  const products = windowParts(n, images, window, counts).map((part) =>
    n.op('Gemm', [dy, n.reshape(part, channels, -1)], { transB: 1 }),
  );
  const columns = products.map((product) => n.reshape(product, outputs, channels, 1));
  return n.reshape(n.op('Concat', columns, { axis: 2 }), outputs, channels, ...window.kernel);
}

/** One matmul per example of dy with the patches of the input (im2col), summed. */
function byPatches(n: NodeGradient, window: Window, { outputs, channels, counts }: Sizes): Value {
  const parts = windowParts(n, n.x, window, counts);
  const width = parts.length * channels;
  const patches = n.reshape(n.op('Concat', parts, { axis: 1 }), 0, width, -1);
  const dy = n.reshape(n.dy, 0, outputs, -1);
  const products = n.op('MatMul', [dy, n.op('Transpose', [patches], { perm: [0, 2, 1] })]);
  const sum = n.reshape(n.sum(products, [0], 0), outputs, parts.length, channels);
  const ordered = n.op('Transpose', [sum], { perm: [0, 2, 1] });
  return n.reshape(ordered, outputs, channels, ...window.kernel);
}

/**
 * Parts of `images` that each element of the window is multiplied by, in the order of the window's elements. The first
 * two axes are examples and channels in either order.
 */
function windowParts(
  n: NodeGradient,
  images: Value,
  { kernel, strides, dilations, begins, ends }: Window,
  counts: readonly number[],
): Value[] {
  const { graph } = n;
  const padded = [...begins, ...ends].some((pad) => pad > 0)
    ? n.op('Pad', [images, graph.ints([0, 0, ...begins, 0, 0, ...ends])])
    : images;
  const axes = graph.ints(kernel.map((_, axis) => axis + 2));
  return windowOffsets(kernel).map((place) => {
    const starts = place.map((offset, axis) => offset * (dilations[axis] ?? 1));
    const stops = starts.map(
      (start, axis) => start + ((counts[axis] ?? 1) - 1) * (strides[axis] ?? 1) + 1,
    );
    const bounds = [starts, stops].map((bound) => graph.ints(bound));
    return n.op('Slice', [padded, ...bounds, axes, graph.ints(strides)]);
  });
}

/** Offsets within a window, the last axis fastest. */
function windowOffsets(kernel: readonly number[]): number[][] {
  return kernel.reduce<number[][]>(
    (places, size) =>
      places.flatMap((place) => Array.from({ length: size }, (_, offset) => [...place, offset])),
    [[]],
  );
}

/** Convolution of x by dy with swapped examples and channels, and swapped stride and dilation. */
function byExchange(n: NodeGradient, window: Window, group: number): Value {
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
  // Input rows that no output reads make the result longer than the kernel.
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
