import { fromBinary } from '@bufbuild/protobuf';
import { UserError } from '../../user-error';
import { ModelProtoSchema } from '../proto/onnx_pb';
import type { GraphProto, ModelProto, NodeProto, TensorProto } from '../proto/onnx_pb';
import { ByteWindow } from './byte-window';
import { checkDecodedSize, DecodedSizeError } from './decoded-size';
import { stripPayloads } from './strip-payloads';
import type { Payload } from './strip-payloads';
import { say } from '../../message';

/**
 * Maximum memory of a decoded graph in bytes. A graph of 100,000 nodes with stack traces takes about two thirds of it.
 */
const mostDecodedBytes = 384 << 20;

/** The structure of a model: everything but the contents of its large tensors. */
export interface ScannedModel {
  /** Large tensors in it are without data; see `payloads`. */
  readonly model: ModelProto;
  /** Positions of the tensors' data in the file. External tensors have none. */
  readonly payloads: ReadonlyMap<TensorProto, Payload>;
}

/**
 * Reads the structure of the .onnx file open at `descriptor`, skipping weights.
 * @throws UserError naming the file and what is wrong with it.
 */
export function scanModel(descriptor: number, size: number, path: string): ScannedModel {
  const structure = stripPayloads(new ByteWindow(descriptor, size), path);
  let model: ModelProto;
  try {
    checkDecodedSize(ModelProtoSchema, structure.bytes, mostDecodedBytes);
  } catch (error) {
    if (!(error instanceof DecodedSizeError)) {
      throw error;
    }
    throw new UserError(
      'graph-too-large',
      say`The graph without its weights is too large: ${error.message}.`,
      {
        file: path,
        remedy: say`Export the model again, or choose a smaller one.`,
      },
    );
  }
  try {
    model = fromBinary(ModelProtoSchema, structure.bytes);
  } catch (error) {
    throw new UserError(
      'onnx-undecodable',
      say`This is not an ONNX model: ${(error as Error).message}.`,
      {
        file: path,
        remedy: say`Choose a .onnx file, or export the model again.`,
      },
    );
  }
  const payloads = new Map<TensorProto, Payload>();
  const visit = new TensorVisitor((tensor) => {
    const payload = structure.payloads[Number(tensor.docString)];
    tensor.docString = '';
    if (payload !== undefined) {
      payloads.set(tensor, payload);
    }
  });
  visit.model(model);
  return { model, payloads };
}

/** Calls `seen` for every tensor of a model. */
class TensorVisitor {
  public constructor(private readonly seen: (tensor: TensorProto) => void) {}

  public model(model: ModelProto): void {
    this.graph(model.graph);
    for (const { initialization, algorithm } of model.trainingInfo) {
      this.graph(initialization);
      this.graph(algorithm);
    }
    for (const { node, attributeProto } of model.functions) {
      this.nodes(node);
      this.attributes(attributeProto);
    }
  }

  private graph(graph: GraphProto | undefined): void {
    if (graph !== undefined) {
      graph.initializer.forEach(this.seen);
      graph.sparseInitializer.forEach((sparse) => {
        this.sparse(sparse);
      });
      this.nodes(graph.node);
    }
  }

  private nodes(nodes: readonly NodeProto[]): void {
    for (const { attribute } of nodes) {
      this.attributes(attribute);
    }
  }

  private attributes(attributes: NodeProto['attribute']): void {
    for (const { t, g, tensors, graphs, sparseTensor, sparseTensors } of attributes) {
      [t, ...tensors].forEach((tensor) => {
        this.tensor(tensor);
      });
      [g, ...graphs].forEach((graph) => {
        this.graph(graph);
      });
      [sparseTensor, ...sparseTensors].forEach((sparse) => {
        this.sparse(sparse);
      });
    }
  }

  private sparse(sparse: NodeProto['attribute'][number]['sparseTensor']): void {
    this.tensor(sparse?.values);
    this.tensor(sparse?.indices);
  }

  private tensor(tensor: TensorProto | undefined): void {
    if (tensor !== undefined) {
      this.seen(tensor);
    }
  }
}
