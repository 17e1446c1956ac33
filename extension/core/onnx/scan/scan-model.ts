import { fromBinary, ScalarType } from '@bufbuild/protobuf';
import { UserError } from '../../user-error';
import { ModelProtoSchema } from '../proto/onnx_pb';
import type { GraphProto, ModelProto, NodeProto, TensorProto } from '../proto/onnx_pb';
import { ByteWindow } from './byte-window';
import { stripPayloads } from './strip-payloads';
import type { Payload } from './strip-payloads';
import { say } from '../../message';
import type { DescField, DescMessage } from '@bufbuild/protobuf';

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
      { file: path, remedy: say`Export the model again, or choose a smaller one.` },
    );
  }
  try {
    model = fromBinary(ModelProtoSchema, structure.bytes);
  } catch (error) {
    throw new UserError(
      'onnx-undecodable',
      say`This is not an ONNX model: ${(error as Error).message}.`,
      { file: path, remedy: say`Choose a .onnx file, or export the model again.` },
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

/** Memory of decoded values in V8, in bytes. */
const objectBytes = {
  message: 128,
  field: 8,
  list: 40,
  element: 8,
  string: 24,
  bigint: 24,
  view: 120,
};
/** Deepest nesting of messages; a graph within a graph takes three levels. */
const mostLevels = 100;

const wideIntegers: ReadonlySet<ScalarType> = new Set([
  ...[ScalarType.INT64, ScalarType.UINT64, ScalarType.SINT64],
  ...[ScalarType.FIXED64, ScalarType.SFIXED64],
]);

/** Thrown for a message whose decoded form would be too large or too deep. */
class DecodedSizeError extends Error {}

/**
 * Estimates the memory that a decoded protobuf message takes, before it is decoded: a file of two bytes per
 * message decodes to over a hundred times its size. Damaged bytes are left to the decoder.
 * @param most limit, in bytes
 * @throws DecodedSizeError above the limit, or if messages are nested too deep
 */
function checkDecodedSize(schema: DescMessage, bytes: Uint8Array, most: number): void {
  new Walk(bytes, most).message(schema, 0, bytes.length, 0);
}

interface MessageShape {
  readonly bytes: number;
  readonly fields: ReadonlyMap<number, DescField>;
}

const shapes = new WeakMap<DescMessage, MessageShape>();

function messageShape(schema: DescMessage): MessageShape {
  const known = shapes.get(schema);
  if (known !== undefined) {
    return known;
  }
  const lists = schema.fields.filter(({ fieldKind }) => fieldKind === 'list').length;
  const bytes =
    objectBytes.message + objectBytes.field * schema.fields.length + (objectBytes.list - 8) * lists;
  const shape = { bytes, fields: new Map(schema.fields.map((field) => [field.number, field])) };
  shapes.set(schema, shape);
  return shape;
}

class Walk {
  #taken = 0;
  #at = 0;

  public constructor(
    private readonly bytes: Uint8Array,
    private readonly most: number,
  ) {}

  public message(schema: DescMessage, start: number, end: number, level: number): void {
    if (level > mostLevels) {
      throw new DecodedSizeError(`messages are nested more than ${mostLevels} deep`);
    }
    const { bytes, fields } = messageShape(schema);
    this.#take(bytes);
    this.#at = start;
    while (this.#at < end) {
      const key = this.#varint(end);
      const wire = key % 8;
      const field = fields.get(Math.floor(key / 8));
      if (wire === 2) {
        const length = this.#varint(end);
        const next = Math.min(this.#at + length, end);
        this.#lengthDelimited(field, this.#at, next, level);
        this.#at = next;
      } else if (wire === 0) {
        this.#varint(end);
        this.#take(objectBytes.bigint + objectBytes.element);
      } else if (wire === 1 || wire === 5) {
        this.#at += wire === 1 ? 8 : 4;
        this.#take(objectBytes.bigint + objectBytes.element);
      } else {
        return;
      }
    }
  }

  #lengthDelimited(field: DescField | undefined, start: number, end: number, level: number): void {
    if (field?.message !== undefined) {
      this.message(field.message, start, end, level + 1);
    } else if (field === undefined || field.scalar === ScalarType.BYTES) {
      this.#take(objectBytes.view + objectBytes.element);
    } else if (field.scalar === ScalarType.STRING) {
      this.#take(objectBytes.string + objectBytes.element + end - start);
    } else {
      this.#packed(field, start, end);
    }
  }

  /** Values of a packed repeated field. */
  #packed({ scalar }: DescField, start: number, end: number): void {
    const isWide = scalar !== undefined && wideIntegers.has(scalar);
    let count = 0;
    for (let at = start; at < end; at++) {
      // The last byte of each varint; numbers of fixed width have at most as many.
      count += (this.bytes[at] ?? 0) < 0x80 ? 1 : 0;
    }
    this.#take(count * (objectBytes.element + (isWide ? objectBytes.bigint : 0)));
  }

  #varint(end: number): number {
    let value = 0;
    let scale = 1;
    while (this.#at < end) {
      const byte = this.bytes[this.#at++] ?? 0;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        break;
      }
      scale *= 128;
    }
    return value;
  }

  #take(bytes: number): void {
    this.#taken += bytes;
    if (this.#taken > this.most) {
      throw new DecodedSizeError(`decoding takes more than ${this.most} bytes`);
    }
  }
}
