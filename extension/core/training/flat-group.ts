import type { GraphBuilder, Value } from '../onnx/graph-builder';
import { elementCount } from '../checkpoints/lazy-tensor';
import type { Parameter } from './trainable-model';

/** Elements up to which the launch overhead dominates an operator's time on the CPU. */
const smallElements = 4096;

/**
 * Groups of parameters that the optimizer updates together. Small parameters are concatenated to one vector: a dozen
 * operators for each of a hundred biases would take longer than the biases themselves. Large ones stay separate, since
 * concatenating copies them. Small groups are emitted first: ONNX Runtime runs independent nodes in reverse order of
 * emission, so a large parameter is updated while the operands of its gradient are still in the CPU caches.
 * @param kindOf parameters of different kinds are never grouped
 */
export function flatGroups(
  parameters: readonly Parameter[],
  kindOf: (name: string) => boolean,
): FlatGroup[] {
  const isSmall = ({ shape }: Parameter): boolean => elementCount(shape) <= smallElements;
  const small = parameters.filter(isSmall);
  const groups = [
    ...[true, false].map((kind) => small.filter(({ name }) => kindOf(name) === kind)),
    ...parameters.filter((parameter) => !isSmall(parameter)).map((parameter) => [parameter]),
  ];
  return groups.filter(({ length }) => length > 0).map((group) => new FlatGroup(group));
}

/** Tensors of known shapes that a graph handles as one vector; a single tensor keeps its shape. */
export class FlatGroup {
  public constructor(public readonly parameters: readonly Parameter[]) {}

  /** Shape of the joined value. */
  public get shape(): readonly number[] {
    const [only, ...more] = this.parameters.map(({ shape }) => shape);
    return only !== undefined && more.length === 0
      ? only
      : [this.sizes.reduce((sum, size) => sum + size, 0)];
  }

  /** Concatenates values with the parameters' shapes, in order. */
  public join(graph: GraphBuilder, values: readonly Value[]): Value {
    const [only = '', ...more] = values;
    if (more.length === 0) {
      return only;
    }
    const vectors = values.map((value, i) =>
      this.parameters[i]?.shape.length === 1
        ? value
        : graph.op('Reshape', [value, graph.ints([-1])]),
    );
    return graph.op('Concat', vectors, { axis: 0 });
  }

  /** Splits a joined value into the parameters' shapes. */
  public split(graph: GraphBuilder, joined: Value): Value[] {
    if (this.parameters.length === 1) {
      return [joined];
    }
    const { sizes } = this;
    const parts = graph.ops('Split', [joined, graph.ints(sizes)], sizes.length, { axis: 0 });
    return this.parameters.map(({ shape }, i) =>
      shape.length === 1
        ? (parts[i] ?? '')
        : graph.op('Reshape', [parts[i] ?? '', graph.ints(shape)]),
    );
  }

  private get sizes(): number[] {
    return this.parameters.map(({ shape }) => elementCount(shape));
  }
}
