import type { GraphBuilder, Value } from '../onnx/graph-builder';
import { elementCount } from '../checkpoints/lazy-tensor';
import type { Parameter } from './trainable-model';

/** Up to this size the time of an operator on the CPU is that of starting it. */
const smallElements = 4096;

/**
 * Parameters that the optimiser updates together: small ones as one vector, as a dozen operators for each of
 * a hundred biases would take longer than the biases; large ones alone, as joining them would copy them.
 * The small ones come first: of what does not depend on each other ONNX Runtime runs what is emitted last first, so that
 * a large parameter is updated while what its gradient is made of is in the processor's caches.
 * @param kindOf parameters of different kinds are never together
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

/** Tensors of known shapes that a graph handles as one vector; a single one stays as it is. */
export class FlatGroup {
  public constructor(public readonly parameters: readonly Parameter[]) {}

  /** What a joined value has. */
  public get shape(): readonly number[] {
    const [only, ...more] = this.parameters.map(({ shape }) => shape);
    return only !== undefined && more.length === 0
      ? only
      : [this.sizes.reduce((sum, size) => sum + size, 0)];
  }

  /** Joins values of the parameters' shapes, in their order. */
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

  /** Undoes `join`. */
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
