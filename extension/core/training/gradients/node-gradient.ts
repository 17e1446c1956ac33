import { DataType } from '../../onnx/graph-builder';
import type { Attribute, GraphBuilder, Value } from '../../onnx/graph-builder';
import type { NodeProto } from '../../onnx/proto/onnx_pb';
import { outputOf } from '../../models/onnx/node-attributes';
import type { ValueShapes } from '../../models/onnx/values/value-shapes';
import type { Shape } from '../../models/onnx/values/shape-query';
import type { ValueTypes } from '../../models/onnx/values/value-types';
import { UserError } from '../../user-error';
import { say } from '../../message';

/** Element types that values between parameters and loss may have. */
const trainable: ReadonlySet<number> = new Set([DataType.FLOAT, DataType.DOUBLE]);

/** Emits the gradient with respect to one input. */
export type Gradient = () => Value;

/**
 * The reverse rule of one operator: per input, how to emit the gradient of the loss with respect to it
 * from those of the outputs; undefined where it is zero or the input is not differentiable.
 */
export type Rule = (n: NodeGradient) => readonly (Gradient | undefined)[];

/** What is known of the forward graph. */
export interface ForwardFacts {
  readonly shapes: ValueShapes;
  readonly types: ValueTypes;
}

/** One node of the forward graph, seen by its rule, and what rules emit most often. */
export class NodeGradient {
  public constructor(
    public readonly graph: GraphBuilder,
    public readonly node: NodeProto,
    private readonly facts: ForwardFacts,
    /** Gradient of the loss with respect to each output, if it has any. */
    public readonly gradients: readonly (Value | undefined)[],
  ) {}

  /** Gradient with respect to the first output. */
  public get dy(): Value {
    return this.gradients[0] ?? this.fail('Only its first output can be trained through.');
  }

  public get x(): Value {
    return this.input(0);
  }

  public get y(): Value {
    return this.node.output[0] ?? '';
  }

  /** Name of an input; empty where it is left out. */
  public input(place: number): Value {
    return this.node.input[place] ?? '';
  }

  /** Name of an output that the forward node may not have had so far. */
  public output(place: number): Value {
    return outputOf(this.node, place);
  }

  public shapeOf(value: Value): Shape | undefined {
    return this.facts.shapes.of(value);
  }

  public contentsOf(value: Value): readonly (number | string)[] | undefined {
    return this.facts.shapes.contents(value);
  }

  /** The number that a constant of one element holds. */
  public constantOf(value: Value): number | undefined {
    const contents = this.contentsOf(value);
    const [only] = contents ?? [];
    return contents?.length === 1 && typeof only === 'number' ? only : undefined;
  }

  public typeOf(value: Value): number {
    return this.facts.types.of(value);
  }

  /** @throws UserError where the shapes of the graph tell nothing of it. */
  public rankOf(value: Value): number {
    return (
      this.shapeOf(value)?.length ??
      this.fail(`The number of dimensions of ${value} does not follow from the graph.`)
    );
  }

  public op(
    type: string,
    inputs: readonly Value[],
    attributes: Readonly<Record<string, Attribute>> = {},
  ): Value {
    return this.graph.op(type, inputs, attributes);
  }

  public add(a: Value, b: Value): Value {
    return this.op('Add', [a, b]);
  }

  public sub(a: Value, b: Value): Value {
    return this.op('Sub', [a, b]);
  }

  public mul(a: Value, b: Value): Value {
    return this.op('Mul', [a, b]);
  }

  public div(a: Value, b: Value): Value {
    return this.op('Div', [a, b]);
  }

  /** value · factor */
  public scale(value: Value, factor: number): Value {
    return factor === 1 ? value : this.mul(value, this.scalar(factor));
  }

  /** A number in the type of the node's first output. */
  public scalar(value: number): Value {
    const type = this.typeOf(this.y);
    if (!trainable.has(type)) {
      this.fail(`Values of type ${DataType[type] ?? type} cannot be trained through.`);
    }
    return this.graph.numbers(type, [value], []);
  }

  /** 1 where the condition holds, else 0, in the type of the node's first output. */
  public indicator(condition: Value): Value {
    return this.op('Cast', [condition], { to: this.typeOf(this.y) });
  }

  /** gradient where the condition holds, else 0. Five times as fast as ONNX Runtime's Where. */
  public where(condition: Value, gradient: Value): Value {
    return this.mul(gradient, this.indicator(condition));
  }

  /** int64 [rank] */
  public sizesOf(value: Value): Value {
    const shape = this.shapeOf(value);
    const known = shape?.filter((size) => typeof size === 'number');
    return shape !== undefined && known?.length === shape.length
      ? this.graph.ints(known)
      : this.op('Shape', [value]);
  }

  /** int64 [1]: one size of a value; a negative axis counts from the end. */
  public sizeOf(value: Value, axis: number): Value {
    const size = this.shapeOf(value)?.at(axis);
    return typeof size === 'number'
      ? this.graph.ints([size])
      : this.op('Gather', [this.op('Shape', [value]), this.graph.ints([axis])]);
  }

  /** int64 vectors joined. */
  public concat(...parts: readonly Value[]): Value {
    return parts.length === 1 ? (parts[0] ?? '') : this.op('Concat', parts, { axis: 0 });
  }

  public reshape(value: Value, ...sizes: readonly (number | Value)[]): Value {
    const numbers = sizes.filter((size) => typeof size === 'number');
    const shape =
      numbers.length === sizes.length
        ? this.graph.ints(numbers)
        : this.concat(
            ...sizes.map((size) => (typeof size === 'number' ? this.graph.ints([size]) : size)),
          );
    return this.op('Reshape', [value, shape]);
  }

  /** The same elements in the shape of another value. */
  public reshapeLike(value: Value, like: Value): Value {
    return this.op('Reshape', [value, this.sizesOf(like)]);
  }

  public expandLike(value: Value, like: Value): Value {
    return this.op('Expand', [value, this.sizesOf(like)]);
  }

  public zerosLike(like: Value): Value {
    return this.expandLike(this.scalar(0), like);
  }

  public sum(value: Value, axes: readonly number[], keepdims: 0 | 1): Value {
    return this.graph.reduce('ReduceSum', value, axes, keepdims);
  }

  /** Number of elements of `whole` for each of `part`, as a float without dimensions. */
  public ratioOfSizes(whole: Value, part: Value): Value {
    const count = (value: Value): Value =>
      this.op('Cast', [this.op('Size', [value])], { to: this.typeOf(this.y) });
    const [a, b] = [this.elements(whole), this.elements(part)];
    return a !== undefined && b !== undefined
      ? this.scalar(a / b)
      : this.div(count(whole), count(part));
  }

  /** Number of elements, where it is known. */
  public elements(value: Value): number | undefined {
    return this.shapeOf(value)?.reduce<number | undefined>(
      (product, size) =>
        product === undefined || typeof size === 'string' ? undefined : product * size,
      1,
    );
  }

  /** Swaps the last two axes. */
  public swapLast(value: Value, rank: number): Value {
    const axes = Array.from({ length: rank }, (_, axis) => axis);
    const perm = [...axes.slice(0, -2), rank - 1, rank - 2];
    return this.op('Transpose', [value], { perm });
  }

  /**
   * Sums `gradient`, which has the shape of `from`, over the axes along which `to` was repeated to
   * reach that shape.
   */
  public sumTo(gradient: Value, from: Value, to: Value): Value {
    const [source, target] = [this.shapeOf(from), this.shapeOf(to)];
    const axes =
      source === undefined || target === undefined ? undefined : repeated(source, target);
    if (axes === undefined) {
      return this.sumToShape(gradient, to);
    }
    const missing = (source?.length ?? 0) - (target?.length ?? 0);
    if (axes.length === 0) {
      return gradient;
    }
    if (target?.length === 1 && axes.length === missing) {
      return this.columnSums(gradient, to);
    }
    return axes.length === missing
      ? this.sum(gradient, axes, 0)
      : missing === 0
        ? this.sum(gradient, axes, 1)
        : this.reshapeLike(this.sum(gradient, axes, 0), to);
  }

  /** The same for a gradient of any shape, found when the graph runs. */
  public sumToShape(gradient: Value, to: Value): Value {
    const [whole, part] = [this.op('Shape', [gradient]), this.op('Shape', [to])];
    const missing = this.sub(this.op('Shape', [whole]), this.op('Shape', [part]));
    const ones = this.op('Expand', [this.graph.ints([1]), missing]);
    const aligned = this.op('Concat', [ones, part], { axis: 0 });
    const differs = this.op('Not', [this.op('Equal', [whole, aligned])]);
    const axes = this.op('Reshape', [this.op('NonZero', [differs]), this.graph.ints([-1])]);
    const summed = this.op('ReduceSum', [gradient, axes], {
      keepdims: 1,
      noop_with_empty_axes: 1,
    });
    return this.op('Reshape', [summed, part]);
  }

  public fail(problem: string): never {
    throw new UserError(say`${this.node.opType}: ${problem}`, {
      field: this.node.name || this.y,
      remedy: say`Export the model with fixed or named sizes in float32, or freeze what lies before.`,
    });
  }

  /**
   * Sums all axes but the last, which is that of the vector `to`: a product with ones, which ONNX Runtime
   * shares among threads far better than a reduction of the first axes.
   */
  private columnSums(value: Value, to: Value): Value {
    const rows = this.reshape(value, -1, this.sizeOf(to, 0));
    const count = this.op('Slice', [
      this.op('Shape', [rows]),
      this.graph.ints([0]),
      this.graph.ints([1]),
    ]);
    return this.op('MatMul', [this.op('Expand', [this.scalar(1), count]), rows]);
  }
}

/** Axes of `whole` along which `part` is repeated; undefined where this depends on open sizes. */
function repeated(whole: Shape, part: Shape): number[] | undefined {
  const missing = whole.length - part.length;
  const axes: number[] = [];
  for (const [axis, size] of whole.entries()) {
    const own = axis < missing ? 1 : part[axis - missing];
    if (axis < missing || (own === 1 && size !== 1)) {
      axes.push(axis);
    } else if (own !== size) {
      return undefined;
    }
  }
  return axes;
}
