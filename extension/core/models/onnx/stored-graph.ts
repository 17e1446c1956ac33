import { create, toBinary } from '@bufbuild/protobuf';
import type { OnnxInitializer } from '../../checkpoints/onnx-file';
import type { ExternalLocation } from '../../onnx/graph-builder';
import {
  GraphProtoSchema,
  ModelProtoSchema,
  StringStringEntryProtoSchema,
  TensorProto_DataLocation as DataLocation,
  TensorProtoSchema,
} from '../../onnx/proto/onnx_pb';
import type { GraphProto, ModelProto, TensorProto } from '../../onnx/proto/onnx_pb';
import { UserError } from '../../user-error';
import type { RunnableGraph } from '../layered-model';

/** A weight, or what is left of one. */
export interface StoredWeight extends OnnxInitializer {
  /** Where its bytes lie, one after the other, where parts of it are left out. */
  readonly ranges?: readonly FileRange[];
}

export type FileRange = Pick<OnnxInitializer, 'file' | 'offset' | 'length'>;

/** Place of a weight in the model's files. */
export type StoredData = Pick<StoredWeight, 'name' | 'file' | 'offset' | 'length' | 'ranges'>;

/** A graph over weights that lie in the files of an ONNX model. */
export class StoredGraph implements RunnableGraph {
  public readonly externalData: readonly StoredData[];

  public constructor(
    private readonly model: ModelProto,
    private readonly graph: GraphProto,
    public readonly initializers: readonly StoredWeight[],
    path: string,
  ) {
    const lost = initializers.find(({ inline, mappable }) => inline === undefined && !mappable);
    if (lost !== undefined) {
      throw new UserError('Its numbers are stored in a form that cannot be copied.', {
        file: path,
        field: lost.name,
        remedy: 'Export the model with raw_data, as all present exporters do.',
      });
    }
    this.externalData = initializers.filter(({ inline }) => inline === undefined);
  }

  public toBytes(
    locate: (data: StoredData) => ExternalLocation,
    metadata: Readonly<Record<string, string>> = {},
  ): Uint8Array {
    const entry = (key: string, value: string) =>
      create(StringStringEntryProtoSchema, { key, value });
    const initializer = this.initializers.map((data): TensorProto => {
      if (data.inline !== undefined) {
        return data.inline;
      }
      const { location, offset } = locate(data);
      return create(TensorProtoSchema, {
        name: data.name,
        dataType: data.dataType,
        dims: data.dims.map(BigInt),
        dataLocation: DataLocation.EXTERNAL,
        externalData: [
          entry('location', location),
          entry('offset', String(offset)),
          entry('length', String(data.length)),
        ],
      });
    });
    const known = this.model.metadataProps.filter(({ key }) => !(key in metadata));
    return toBinary(
      ModelProtoSchema,
      create(ModelProtoSchema, {
        ...this.model,
        metadataProps: [
          ...known,
          ...Object.entries(metadata).map(([key, value]) => entry(key, value)),
        ],
        graph: create(GraphProtoSchema, { ...this.graph, initializer }),
      }),
    );
  }
}
