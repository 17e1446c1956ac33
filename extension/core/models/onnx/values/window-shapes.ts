import type { Dimension } from '../../../onnx/graph-builder';
import { intAttribute, intsAttribute, stringAttribute } from '../graph-index';
import type { ShapeQuery, Shape } from './shape-query';

type Shapes = readonly (Shape | undefined)[];

/** Attributes of a window that slides over the spatial axes, one number per axis. */
export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** Padding before and after. */
  readonly begins: readonly number[];
  readonly ends: readonly number[];
}

/** Window of a Conv or pooling node; undefined if it depends on unknown sizes. */
export function slidingWindow(
  node: ShapeQuery['node'],
  kernel: readonly number[],
  spatial: Shape | undefined,
): Window | undefined {
  const ones = kernel.map(() => 1);
  const strides = intsAttribute(node, 'strides') ?? ones;
  const dilations = intsAttribute(node, 'dilations') ?? ones;
  const automatic = stringAttribute(node, 'auto_pad', 'NOTSET');
  if (automatic === 'SAME_UPPER' || automatic === 'SAME_LOWER') {
    const totals = kernel.map((size, axis) => {
      const [length, stride = 1, dilation = 1] = [spatial?.[axis], strides[axis], dilations[axis]];
      return typeof length === 'number'
        ? Math.max(
            0,
            (Math.ceil(length / stride) - 1) * stride + (size - 1) * dilation + 1 - length,
          )
        : Number.NaN;
    });
    const small = totals.map((total) => Math.floor(total / 2));
    const large = totals.map((total) => Math.ceil(total / 2));
    const [begins, ends] = automatic === 'SAME_UPPER' ? [small, large] : [large, small];
    return totals.some(Number.isNaN) ? undefined : { kernel, strides, dilations, begins, ends };
  }
  const pads = automatic === 'VALID' ? undefined : intsAttribute(node, 'pads');
  const zeros = kernel.map(() => 0);
  const begins = pads?.slice(0, kernel.length) ?? zeros;
  const ends = pads?.slice(kernel.length) ?? zeros;
  return { kernel, strides, dilations, begins, ends };
}

/** Size of the output along each spatial axis. */
function slide(
  spatial: Shape,
  window: Window | undefined,
  ceil: boolean,
  fresh: () => string,
): Dimension[] {
  return spatial.map((length, axis) => {
    if (typeof length !== 'number' || window === undefined) {
      return fresh();
    }
    const { kernel, strides, dilations, begins, ends } = window;
    const [begin = 0, end = 0, stride = 1] = [begins[axis], ends[axis], strides[axis]];
    const extent = ((kernel[axis] ?? 1) - 1) * (dilations[axis] ?? 1) + 1;
    const steps = (length + begin + end - extent) / stride;
    if (!ceil) {
      return Math.floor(steps) + 1;
    }
    // Windows that would begin in the padding at the end are dropped.
    const count = Math.ceil(steps) + 1;
    return (count - 1) * stride >= length + begin ? count - 1 : count;
  });
}

/** Sizes of a convolution's kernel, from the node or from the shape of its weights. */
export function convolutionKernel(
  node: ShapeQuery['node'],
  weights: Shape | undefined,
): number[] | undefined {
  const kernel = intsAttribute(node, 'kernel_shape') ?? weights?.slice(2).map(Number);
  return kernel?.some(Number.isNaN) === true ? undefined : kernel;
}

export function convolutionShape({ node, shape, fresh }: ShapeQuery): Shapes {
  const [input, weights] = [shape(0), shape(1)];
  const kernel = convolutionKernel(node, weights);
  const channels = weights?.[0] ?? fresh();
  const [batch] = input ?? [];
  if (input === undefined || batch === undefined) {
    return [];
  }
  const spatial = input.slice(2);
  const window = kernel === undefined ? undefined : slidingWindow(node, kernel, spatial);
  return [[batch, channels, ...slide(spatial, window, false, fresh)]];
}

export function poolShape({ node, shape, fresh }: ShapeQuery): Shapes {
  const input = shape(0);
  const kernel = intsAttribute(node, 'kernel_shape') ?? [];
  if (input === undefined) {
    return [];
  }
  const spatial = input.slice(2);
  const ceil = intAttribute(node, 'ceil_mode', 0) === 1;
  const sizes = slide(spatial, slidingWindow(node, kernel, spatial), ceil, fresh);
  const output = [...input.slice(0, 2), ...sizes];
  return [output, output];
}

export function globalPoolShape({ shape }: ShapeQuery): Shapes {
  const input = shape(0);
  return [input?.map((size, axis) => (axis < 2 ? size : 1))];
}
