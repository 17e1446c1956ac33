import type { Dimension, GraphBuilder, Value } from '../../onnx/graph-builder';
import type { NodeProto } from '../../onnx/proto/onnx_pb';
import {
  floatAttribute,
  intAttribute,
  intsAttribute,
  outputName,
  stringAttribute,
} from '../../models/onnx/graph-index';
import type { ValueShapes } from '../../models/onnx/values/value-shapes';
import type { Shape } from '../../models/onnx/values/shape-query';
import { convolutionKernel } from '../../models/onnx/values/window-shapes';
import type { ShapedValue } from '../../training/losses';
import { UserError } from '../../user-error';
import { say } from '../../message';

/** Gradient of each example with respect to a parameter at one node. */
export interface UseGradient {
  /** Sum of squares, [batch]. */
  readonly squaredNorm: () => Value;
  /** [batch, …], in the parameter's element order up to a permutation that is the same for all nodes. */
  readonly perExample: () => Value;
}

/**
 * Rule for an operator.
 * @param delta gradient of the summed losses with respect to the node's output
 */
type NormRule = (emitter: NormEmitter, node: NodeProto, delta: Value) => UseGradient;

/** Emits the graph of norm rules. */
export class NormEmitter {
  public constructor(
    public readonly graph: GraphBuilder,
    private readonly shapes: ValueShapes,
    private readonly losses: ShapedValue,
  ) {}

  public inferredShape(value: Value): Shape | undefined {
    return this.shapes.of(value);
  }

  public op(...args: Parameters<GraphBuilder['op']>): Value {
    return this.graph.op(...args);
  }

  /** Number of examples, int64 [1]. */
  private get batch(): Value {
    return this.op('Shape', [this.losses.value]);
  }

  public sumSquares(value: Value, axes: readonly number[]): Value {
    return this.graph.reduce('ReduceSumSquare', value, axes, 0);
  }

  public sum(value: Value, axes: readonly number[]): Value {
    return this.graph.reduce('ReduceSum', value, axes, 0);
  }

  /** Reshapes [batch, …] to [batch, elements]. */
  public flat(value: Value): Value {
    return this.split(value, -1);
  }

  /** Reshapes rows of consecutive examples to [batch, …sizes]. */
  public split(value: Value, ...sizes: readonly number[]): Value {
    return this.op('Reshape', [
      value,
      this.op('Concat', [this.batch, this.graph.ints(sizes)], { axis: 0 }),
    ]);
  }

  /** True if `rows` has one row per example. */
  public isOneRow(rows: Value): boolean {
    const shape = this.inferredShape(rows);
    return shape?.length === 2 && shape[0] === this.losses.shape[0];
  }

  /** Last dimension of a value, which is fixed by the weights. */
  public width(value: Value): number {
    return fixedSize(this.inferredShape(value)?.at(-1), value);
  }

  public swapped(value: Value, rank: number): Value {
    const axes = Array.from({ length: rank - 2 }, (_, axis) => axis);
    return this.op('Transpose', [value], { perm: [...axes, rank - 1, rank - 2] });
  }
}

function fixedSize(size: Dimension | undefined, value: Value): number {
  if (typeof size !== 'number') {
    throw new UserError('size-not-fixed', say`Its size can't be derived from the graph.`, {
      field: value,
      remedy: say`Export the model with fixed sizes, or score by EL2N.`,
    });
  }
  return size;
}

/** Gradient that is always materialized, because it is small. */
const materialised = (emitter: NormEmitter, gradient: () => Value): UseGradient => ({
  perExample: gradient,
  squaredNorm: () => emitter.sumSquares(emitter.flat(gradient()), [1]),
});

/**
 * Matmul weights: Σ_t aₜ δₜᵀ per example. For one row, ‖a‖² ‖δ‖². For T rows, ⟨A Aᵀ, Δ Δᵀ⟩ if 2T² < width · units or T
 * is dynamic; otherwise materialized.
 */
function outerProduct(emitter: NormEmitter, a: Value, delta: Value, y: Value): UseGradient {
  const [width, units] = [emitter.width(a), emitter.width(y)];
  const rows = (value: Value, columns: number): Value => emitter.split(value, -1, columns);
  const perExample = (): Value =>
    emitter.op('MatMul', [emitter.swapped(rows(a, width), 3), rows(delta, units)]);
  if (emitter.isOneRow(a)) {
    const squares = (value: Value): Value => emitter.sumSquares(value, [1]);
    return { perExample, squaredNorm: () => emitter.op('Mul', [squares(a), squares(delta)]) };
  }
  const length = emitter.inferredShape(a)?.slice(1, -1) ?? [];
  const known = length.filter((size) => typeof size === 'number');
  const steps = known.reduce((product, size) => product * size, 1);
  const materialises =
    known.length === length.length && known.length > 0 && 2 * steps ** 2 >= width * units;
  const gram = (value: Value): Value => emitter.op('MatMul', [value, emitter.swapped(value, 3)]);
  return {
    perExample,
    squaredNorm: () =>
      materialises
        ? emitter.sumSquares(perExample(), [1, 2])
        : emitter.sum(emitter.op('Mul', [gram(rows(a, width)), gram(rows(delta, units))]), [1, 2]),
  };
}

/** Bias: Σ_t δₜ. */
const offset: NormRule = (emitter, { output: [y = ''] }, delta) =>
  materialised(emitter, () => emitter.sum(emitter.split(delta, -1, emitter.width(y)), [1]));

const gemmWeight: NormRule = (emitter, node, delta) => {
  const [a = ''] = node.input;
  const plain = intAttribute(node, 'transA', 0) === 0 && floatAttribute(node, 'alpha', 1) === 1;
  if (!plain) {
    throw new UserError(
      'gradient-norm-unsupported',
      say`A scaled or transposed matmul has no per-example gradient norms.`,
      { field: node.name, remedy: say`Score by EL2N, or leave this parameter out.` },
    );
  }
  const gradient = outerProduct(emitter, a, delta, node.output[0] ?? '');
  return intAttribute(node, 'transB', 0) === 0
    ? gradient
    : { ...gradient, perExample: () => emitter.swapped(gradient.perExample(), 3) };
};

const matMulWeight: NormRule = (emitter, { input: [a = ''], output: [y = ''] }, delta) =>
  outerProduct(emitter, a, delta, y);

/**
 * Convolution weights: matmul with image patches (im2col) as rows. Patches are extracted by a convolution with one
 * filter per channel and window position.
 */
const convWeight: NormRule = (emitter, node, delta) => {
  const [x = '', weights = ''] = node.input;
  const shape = emitter.inferredShape(weights);
  const group = intAttribute(node, 'group', 1);
  const kernel = convolutionKernel(node, shape) ?? [];
  const [filters, inner] = [fixedSize(shape?.[0], weights), fixedSize(shape?.[1], weights)];
  const size = kernel.reduce((product, length) => product * length, 1);
  const channels = inner * group;
  const perExample = (): Value => {
    const unit = Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0));
    const all = Array.from({ length: channels }, () => unit).flat();
    const picks = emitter.graph.floats(all, [channels * size, 1, ...kernel]);
    const pads = intsAttribute(node, 'pads');
    const patches = emitter.op('Conv', [x, picks], {
      group: channels,
      strides: intsAttribute(node, 'strides') ?? kernel.map(() => 1),
      dilations: intsAttribute(node, 'dilations') ?? kernel.map(() => 1),
      ...(pads === undefined
        ? { auto_pad: stringAttribute(node, 'auto_pad', 'NOTSET') }
        : { pads }),
    });
    const columns = emitter.split(patches, group, inner * size, -1);
    const rows = emitter.split(delta, group, filters / group, -1);
    return emitter.op('MatMul', [rows, emitter.swapped(columns, 4)]);
  };
  return materialised(emitter, perExample);
};

/** Sums over the image per channel (axis 1). */
const perChannel = (emitter: NormEmitter, value: Value, channels: number): Value =>
  emitter.sum(emitter.split(value, channels, -1), [2]);

const convBias: NormRule = (emitter, { input: [, weights = ''] }, delta) =>
  materialised(emitter, () =>
    perChannel(emitter, delta, fixedSize(emitter.inferredShape(weights)?.[0], weights)),
  );

/** Embedding rows: Σ over pairs of positions with the same index of ⟨δₜ, δₜ'⟩. */
const gatherRows: NormRule = (emitter, node, delta) => {
  const [table = '', indices = ''] = node.input;
  const [count, width] = (emitter.inferredShape(table) ?? []).map((size) => fixedSize(size, table));
  const { graph } = emitter;
  const rows = (): Value => emitter.split(delta, -1, width ?? 1);
  const ids = (): Value => emitter.split(indices, -1);
  const unsqueeze = (value: Value, axis: number): Value =>
    emitter.op('Unsqueeze', [value, graph.ints([axis])]);
  return {
    squaredNorm: () => {
      const same = emitter.op(
        'Cast',
        [emitter.op('Equal', [unsqueeze(ids(), 1), unsqueeze(ids(), 2)])],
        { to: 1 },
      );
      const gram = emitter.op('MatMul', [rows(), emitter.swapped(rows(), 3)]);
      return emitter.sum(emitter.op('Mul', [gram, same]), [1, 2]);
    },
    // [batch, count, width] as one matmul with one-hot indices.
    perExample: () => {
      const values = graph.floats([0, 1], [2]);
      const chosen = emitter.op('OneHot', [ids(), graph.ints([count ?? 1]), values], { axis: 1 });
      return emitter.op('MatMul', [chosen, rows()]);
    },
  };
};

/** Σ_t δₜ ⊙ x̂ₜ, with x̂ from the norm's own mean and inverse deviation. */
const layerNormScale: NormRule = (emitter, node, delta) => {
  const [x = '', scale = ''] = node.input;
  if (emitter.inferredShape(scale)?.length !== 1) {
    throw noVector(node);
  }
  const [mean, inverse] = [outputName(node, 1), outputName(node, 2)];
  const unit = (): Value => emitter.op('Mul', [emitter.op('Sub', [x, mean]), inverse]);
  return materialised(emitter, () =>
    emitter.sum(emitter.split(emitter.op('Mul', [delta, unit()]), -1, emitter.width(scale)), [1]),
  );
};

/** Σ over the image of δ ⊙ x̂, with fixed statistics. */
const batchNormScale: NormRule = (emitter, node, delta) => {
  const [x = '', scale = '', , mean = '', variance = ''] = node.input;
  const { graph } = emitter;
  const rank = emitter.inferredShape(x)?.length ?? 2;
  const shape = graph.ints([-1, ...Array.from({ length: rank - 2 }, () => 1)]);
  const column = (value: Value): Value => emitter.op('Reshape', [value, shape]);
  return materialised(emitter, () => {
    const epsilon = graph.scalar(floatAttribute(node, 'epsilon', 1e-5));
    const deviation = emitter.op('Sqrt', [emitter.op('Add', [column(variance), epsilon])]);
    const unit = emitter.op('Div', [emitter.op('Sub', [x, column(mean)]), deviation]);
    return perChannel(emitter, emitter.op('Mul', [delta, unit]), emitter.width(scale));
  });
};

const batchNormBias: NormRule = (emitter, { input: [, scale = ''] }, delta) =>
  materialised(emitter, () => perChannel(emitter, delta, emitter.width(scale)));

/** Rule for parameters that are vectors over the last axis. */
const vector =
  (place: number, rule: NormRule): NormRule =>
  (emitter, node, delta) => {
    const shape = emitter.inferredShape(node.input[place] ?? '');
    const last = emitter.inferredShape(node.output[0] ?? '')?.at(-1);
    if (shape?.length !== 1 || shape[0] !== last) {
      throw noVector(node);
    }
    return rule(emitter, node, delta);
  };

/** Σ_t δₜ ⊙ xₜ for the input x with index `other`. */
const gain =
  (other: number): NormRule =>
  (emitter, { input, output: [y = ''] }, delta) =>
    materialised(emitter, () => {
      const products = emitter.op('Mul', [delta, input[other] ?? '']);
      return emitter.sum(emitter.split(products, -1, emitter.width(y)), [1]);
    });

function noVector({ name, opType }: NodeProto): UserError {
  return new UserError(
    'gradient-norm-unsupported',
    say`${opType} reads a parameter that is not a vector over the last axis, which has no per-example norm.`,
    { field: name, remedy: say`Score by EL2N, or leave this parameter out.` },
  );
}

/** Rules by operator and by the index of the parameter input. */
export const normRules: Readonly<Record<string, readonly (NormRule | undefined)[]>> = {
  Gemm: [undefined, gemmWeight, offset],
  MatMul: [undefined, matMulWeight],
  Conv: [undefined, convWeight, convBias],
  Gather: [gatherRows],
  LayerNormalization: [undefined, layerNormScale, offset],
  BatchNormalization: [undefined, batchNormScale, batchNormBias],
  Add: [vector(0, offset), vector(1, offset)],
  Mul: [vector(0, gain(1)), vector(1, gain(0))],
};
