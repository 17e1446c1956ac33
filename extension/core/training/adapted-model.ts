import { elementCount } from '../checkpoints/lazy-tensor';
import { floatTensor } from '../runtime/tensors';
import type { Tensor } from '../runtime/tensors';
import type { Adapter } from './adapters';
import type { GraphModel } from './graph-model';
import { drawParameter } from './initialization';
import type { ForwardGraph, Mode, Parameter, TrainableModel } from './trainable-model';

/** Graph model with LoRA adapters; the adapters' factors are additional parameters. */
export class AdaptedModel implements TrainableModel {
  public readonly parameters: readonly Parameter[];
  public readonly buffers: readonly Parameter[];
  public readonly inputs: readonly string[];

  public constructor(
    private readonly graph: GraphModel,
    public readonly adapters: readonly Adapter[],
    private readonly seed: number,
  ) {
    const factors = adapters.flatMap(({ left, right }) => [left, right]);
    const names = new Set(factors.map(({ name }) => name));
    this.parameters = [...graph.parameters, ...factors];
    this.buffers = graph.buffers;
    this.inputs = graph.inputs.filter((name) => !names.has(name));
  }

  public forward(mode: Mode): ForwardGraph {
    return this.graph.forward(mode);
  }

  public async initial(): Promise<Readonly<Record<string, Tensor>>> {
    const drawn = this.adapters.flatMap(({ left, right, unit }) => [
      [left.name, floatTensor(new Float32Array(elementCount(left.shape)), left.shape)] as const,
      [right.name, this.drawn(right, unit)] as const,
    ]);
    const own = this.graph.parameters.length === 0 ? {} : await this.graph.initial();
    return { ...own, ...Object.fromEntries(drawn) };
  }

  private drawn({ name, shape }: Parameter, deviation: number): Tensor {
    const how = { kind: 'normal', deviation } as const;
    return floatTensor(drawParameter(how, elementCount(shape), this.seed, name), shape);
  }
}

/** scale · left · right [out, in], the change that an adapter adds to its matrix. */
export function adapterProduct(
  { left, right, scale }: Adapter,
  numbers: ReadonlyMap<string, Float32Array>,
): Float32Array {
  const [out = 0, rank = 0] = left.shape;
  const [, width = 0] = right.shape;
  const [l, r] = [left, right].map(({ name }) => numbers.get(name) ?? new Float32Array());
  const product = new Float32Array(out * width);
  for (let row = 0; row < out; row++) {
    const target = product.subarray(row * width, (row + 1) * width);
    for (let k = 0; k < rank; k++) {
      const factor = scale * (l?.[row * rank + k] ?? 0);
      const source = r?.subarray(k * width, (k + 1) * width);
      for (let column = 0; column < width; column++) {
        target[column] = (target[column] ?? 0) + factor * (source?.[column] ?? 0);
      }
    }
  }
  return product;
}
