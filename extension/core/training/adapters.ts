import { DataType, float, GraphBuilder } from '../onnx/graph-builder';
import type { GraphBase } from '../onnx/graph-builder';
import { copyWith, valueInfo } from '../onnx/messages';
import type { NodeProto } from '../onnx/proto/onnx_pb';
import { renameOutputs } from '../models/onnx/edits/node-edits';
import type { Parameter, ForwardGraph, Mode, TrainableModel } from './trainable-model';
import { elementCount } from '../checkpoints/lazy-tensor';
import { floatTensor } from '../runtime/tensors';
import type { Tensor } from '../runtime/tensors';
import type { GraphModel } from './graph-model';
import { drawParameter } from './layers';

/** Low-rank adapter (LoRA) of a frozen matrix W [out, in]: W + scale · left · right. */
interface Adapter {
  /** Name of the matrix. */
  readonly weight: string;
  /** [out, rank], initialized to zeros. */
  readonly left: Parameter;
  /** [rank, in], initialized with the standard deviation `unit`. */
  readonly right: Parameter;
  readonly unit: number;
  /** Factor by which a change of size ε · unit in `left` changes the outputs by a relative ε. */
  readonly scale: number;
}

/** Options for creating adapters. */
export interface AdapterOptions {
  /** Maximum rank. */
  readonly rank: number;
  /** Size of the values in the factors, equal to that of other parameters trained at the same learning rate. */
  readonly unit: number;
}

/** A matrix [out, in] that can have an adapter. */
export interface AdaptableMatrix {
  readonly name: string;
  readonly out: number;
  readonly in: number;
  /** √(mean w²) */
  readonly rootMeanSquare: number;
}

export function createAdapter(matrix: AdaptableMatrix, { rank, unit }: AdapterOptions): Adapter {
  const { name, out, in: width } = matrix;
  const size = Math.min(rank, out, width);
  return {
    weight: name,
    left: { name: `${name}/adapter.left`, shape: [out, size] },
    right: { name: `${name}/adapter.right`, shape: [size, width] },
    unit,
    scale: matrix.rootMeanSquare / (unit ** 2 * Math.sqrt(size)),
  };
}

/**
 * Replaces the matmuls x·Wᵀ of a graph by x·Wᵀ + scale · (x·rightᵀ)·leftᵀ (LoRA; Hu et al. 2021, arXiv 2106.09685, §
 * 4.1). The factors become inputs. W needs no gradient and no optimizer state.
 */
export function withAdapters(base: GraphBase, adapters: readonly Adapter[]): GraphBase {
  const byWeight = new Map(adapters.map((adapter) => [adapter.weight, adapter]));
  const factors = adapters.flatMap(({ left, right }) => [left, right]);
  const inputs = factors.map(({ name, shape }) => valueInfo(name, DataType.FLOAT, shape));
  const builder = GraphBuilder.over('adapters', {
    ...base,
    nodes: [],
    reserved: base.nodes.flatMap(({ name, output }) => [name, ...output]),
  });
  const casts = castSources(base.nodes);
  const nodes = base.nodes.flatMap((node) => {
    const [, matrix = ''] = node.input;
    const adapter = node.opType === 'Gemm' ? byWeight.get(casts.get(matrix) ?? matrix) : undefined;
    return adapter === undefined ? [node] : adapted(builder, node, adapter);
  });
  const known = new Set(base.weights.map(({ name }) => name));
  const constants = builder.graph.initializer.filter(({ name }) => !known.has(name));
  return { ...base, nodes, inputs: [...base.inputs, ...inputs], constants };
}

/** Emits the matmul and the adapter's addition, with the matmul's output name. */
function adapted(
  builder: GraphBuilder,
  product: NodeProto,
  { left, right, scale }: Adapter,
): NodeProto[] {
  const [rows = ''] = product.input;
  const [given = ''] = product.output;
  const plain = `${given}/plain`;
  const { result, nodes } = builder.recorded(() =>
    builder.within(`${given}/adapter`, () => {
      const inner = builder.op('Gemm', [rows, right.name], { transB: 1 });
      return builder.op('Gemm', [inner, left.name, plain], { transB: 1, alpha: float(scale) });
    }),
  );
  return [copyWith(product, { output: [plain] }), ...renameOutputs(nodes, [result], [given])];
}

/** Names of the matrices that are used in exactly one matmul of the graph, and nowhere else. */
export function adaptable({ nodes }: Pick<GraphBase, 'nodes'>): ReadonlySet<string> {
  const casts = castSources(nodes);
  const uses = new Map<string, { products: number; all: number }>();
  for (const { opType, input, output } of nodes) {
    input.forEach((name, place) => {
      const isCast = opType === 'Cast' && casts.has(output[0] ?? '');
      const source = casts.get(name) ?? name;
      const { products, all } = uses.get(source) ?? { products: 0, all: 0 };
      const isProduct = opType === 'Gemm' && place === 1;
      uses.set(source, {
        products: products + Number(isProduct),
        all: all + Number(!isCast),
      });
    });
  }
  return new Set(
    [...uses].flatMap(([name, { products, all }]) => (products === 1 && all === 1 ? [name] : [])),
  );
}

/** Sources of the casts of weights, by name of the cast. */
function castSources(nodes: readonly NodeProto[]): ReadonlyMap<string, string> {
  const made = new Set(nodes.flatMap(({ output }) => output));
  return new Map(
    nodes.flatMap(({ opType, input: [from = ''], output: [to = ''] }) =>
      opType === 'Cast' && !made.has(from) ? [[to, from] as const] : [],
    ),
  );
}

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
