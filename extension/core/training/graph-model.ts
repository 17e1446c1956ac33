import { DataType, GraphBuilder } from '../onnx/graph-builder';
import type { GraphBase, Value } from '../onnx/graph-builder';
import { createSession } from '../runtime/session';
import { outputTensor } from '../runtime/tensors';
import type { Tensor } from '../runtime/tensors';
import type { ShapedValue } from './losses';
import type { ForwardGraph, Mode, Parameter, TrainableModel } from './trainable-model';
import { create } from '@bufbuild/protobuf';
import {
  AttributeProto_AttributeType as AttributeType,
  AttributeProtoSchema,
} from '../onnx/proto/onnx_pb';
import { floatAttribute } from '../models/onnx/graph-index';
import { emitRunningStatistics, emitScratch } from './layers';

/** A trainable weight of a graph. */
export interface TrainableWeight extends Parameter {
  /** True for running statistics, which have no gradient. */
  readonly isBuffer: boolean;
}

/** Trainable model from a graph: the weights named here become inputs, the others stay initializers. */
export class GraphModel implements TrainableModel {
  public readonly parameters: readonly Parameter[];
  public readonly buffers: readonly Parameter[];
  public readonly inputs: readonly string[];
  private readonly weights: ReadonlySet<string>;

  public constructor(
    private readonly base: GraphBase,
    weights: readonly TrainableWeight[],
    private readonly output: ShapedValue,
  ) {
    this.parameters = weights.filter(({ isBuffer }) => !isBuffer);
    this.buffers = weights.filter(({ isBuffer }) => isBuffer);
    this.weights = new Set(weights.map(({ name }) => name));
    this.inputs = base.inputs.map(({ name }) => name).filter((name) => !this.weights.has(name));
  }

  public forward(mode: Mode): ForwardGraph {
    const fixed = <T extends { readonly name: string }>(list: readonly T[]): T[] =>
      list.filter(({ name }) => !this.weights.has(name));
    const graph = GraphBuilder.over('model', {
      ...this.base,
      inputs: fixed(this.base.inputs),
      outputs: [],
      constants: fixed(this.base.constants),
      weights: fixed(this.base.weights),
    });
    for (const { name, shape } of [...this.parameters, ...this.buffers]) {
      // Parameters are trained in float32 even if the file stores float16: a cast of such a weight becomes an identity.
      graph.input(name, DataType.FLOAT, shape);
    }
    const buffers = mode === 'train' ? trainBatchNorms(graph, this.buffers) : {};
    return { graph, output: this.output, buffers };
  }

  public async initial(): Promise<Readonly<Record<string, Tensor>>> {
    return this.read([...this.parameters, ...this.buffers]);
  }

  /** Values of some weights, float32. Read by ONNX Runtime, which supports every storage of initializers. */
  public async read(weights: readonly Parameter[]): Promise<Readonly<Record<string, Tensor>>> {
    const wanted = new Set(weights.map(({ name }) => name));
    const graph = GraphBuilder.over('weights', {
      ...this.base,
      nodes: [],
      inputs: [],
      outputs: [],
      constants: this.base.constants.filter(({ name }) => wanted.has(name)),
      weights: this.base.weights.filter(({ name }) => wanted.has(name)),
    });
    weights.forEach(({ name, shape }, i) => {
      const read = graph.op('Cast', [name], { to: DataType.FLOAT });
      graph.output(`weight_${i}`, read, DataType.FLOAT, shape);
    });
    const session = await createSession(graph, { device: 'cpu', prepack: false });
    try {
      const outputs = await session.run({});
      return Object.fromEntries(
        weights.map(({ name }, i) => [name, outputTensor(outputs, `weight_${i}`)]),
      );
    } finally {
      await session.release();
    }
  }
}

/** Default momentum of a batch norm in ONNX. */
const defaultMomentum = 0.9;

/**
 * Switches the batch norms of a graph to the statistics of the batch. Returns the running statistics after a step; if
 * several nodes share one, the last of them updates it.
 */
function trainBatchNorms(
  graph: GraphBuilder,
  buffers: readonly Parameter[],
): Readonly<Record<string, Value>> {
  const trained = new Set(buffers.map(({ name }) => name));
  const next: Record<string, Value> = {};
  const nodes = graph.graph.node.filter(
    ({ opType, domain, input }) =>
      opType === 'BatchNormalization' && domain === '' && trained.has(input[3] ?? ''),
  );
  for (const node of nodes) {
    const [x = '', , , mean = '', variance = ''] = node.input;
    const [y = ''] = node.output;
    const momentum = floatAttribute(node, 'momentum', defaultMomentum);
    const old = { mean, variance };
    node.input = [...node.input.slice(0, 3), ...emitScratch(graph, old)];
    const batch = { mean: `${y}/batch_mean`, variance: `${y}/batch_variance` };
    node.output = [y, batch.mean, batch.variance];
    node.attribute = [
      ...node.attribute.filter(({ name }) => name !== 'training_mode' && name !== 'momentum'),
      create(AttributeProtoSchema, { name: 'training_mode', type: AttributeType.INT, i: 1n }),
      create(AttributeProtoSchema, { name: 'momentum', type: AttributeType.FLOAT, f: 0 }),
    ];
    const moved = emitRunningStatistics(graph, x, old, batch, momentum);
    next[mean] = moved.mean;
    next[variance] = moved.variance;
  }
  return next;
}
