import { create, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { GraphProtoSchema, ModelProtoSchema, TensorProtoSchema } from './proto/onnx_pb';
import type { TensorProto_DataType as DataType } from './proto/onnx_pb';

/** Bytes of a computed weight. */
export interface WeightBytes {
  readonly name: string;
  readonly dataType: DataType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/**
 * Adds initializers to a serialized model. Readers of Protocol Buffers merge repeated occurrences of a message, so a second graph
 * with nothing but the initializers is appended. The result is allocated once, in its final size: a writer that grows allocates
 * four times as much.
 */
export function withInitializers(model: Uint8Array, weights: readonly WeightBytes[]): Uint8Array {
  const initializers = weights.map((weight) => {
    const { name, dataType, shape, bytes } = weight;
    const facts = toBinary(
      TensorProtoSchema,
      create(TensorProtoSchema, { name, dataType, dims: shape.map(BigInt) }),
    );
    const rawData = prefix(TensorProtoSchema.field.rawData.number, bytes.length);
    const length = facts.length + rawData.length + bytes.length;
    return [prefix(GraphProtoSchema.field.initializer.number, length), facts, rawData, bytes];
  });
  const content = initializers.flat();
  const graph = prefix(ModelProtoSchema.field.graph.number, totalLength(content));
  const parts = [model, graph, ...content];
  const result = new Uint8Array(totalLength(parts));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}

/** Tag and length of a field. */
const prefix = (field: number, length: number): Uint8Array =>
  new BinaryWriter().tag(field, WireType.LengthDelimited).uint32(length).finish();

const totalLength = (parts: readonly Uint8Array[]): number =>
  parts.reduce((sum, { length }) => sum + length, 0);
