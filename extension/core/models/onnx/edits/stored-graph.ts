import { toBinary } from '@bufbuild/protobuf';
import type { OnnxInitializer } from '../../../checkpoints/onnx-file';
import { copyWith, entry, externalTensor } from '../../../onnx/messages';
import type { ExternalLocation } from '../../../onnx/messages';
import { ModelProtoSchema } from '../../../onnx/proto/onnx_pb';
import type { GraphProto, ModelProto, TensorProto } from '../../../onnx/proto/onnx_pb';
import { renameValues } from './node-edits';
import { UserError } from '../../../user-error';
import type { RunnableGraph } from '../../layered-model';
import { say } from '../../../message';

/** Weight, or the remaining part of one. */
export interface StoredWeight extends OnnxInitializer {
  /** Ranges of its bytes in the file in order, if parts were removed. */
  readonly ranges?: readonly FileRange[];
}

export type FileRange = Pick<OnnxInitializer, 'file' | 'offset' | 'length'>;

/** Location of a weight in the model's files. */
export type StoredData = Pick<StoredWeight, 'name' | 'file' | 'offset' | 'length' | 'ranges'>;

/** A graph with weights in the files of an ONNX model. */
export class StoredGraph implements RunnableGraph {
  public readonly externalData: readonly StoredData[];

  public constructor(
    private readonly model: ModelProto,
    private readonly graph: GraphProto,
    public readonly initializers: readonly StoredWeight[],
    private readonly path: string,
  ) {
    const lost = initializers.find(({ inline, mappable }) => inline === undefined && !mappable);
    if (lost !== undefined) {
      throw new UserError('storage-not-copyable', say`Its storage layout can't be copied.`, {
        file: path,
        field: lost.name,
        remedy: say`Export the model with raw_data, as all current exporters do.`,
      });
    }
    this.externalData = initializers.filter(({ inline }) => inline === undefined);
  }

  public get inputNames(): ReadonlySet<string> {
    return new Set(this.graph.input.map(({ name }) => name));
  }

  /** Copy with renamed values. */
  public renamed(names: ReadonlyMap<string, string>): StoredGraph {
    const { model, graph, initializers, path } = this;
    return names.size === 0
      ? this
      : new StoredGraph(model, renameValues(graph, names), initializers, path);
  }

  public toBytes(
    locate: (data: StoredData) => ExternalLocation,
    metadata: Readonly<Record<string, string>> = {},
  ): Uint8Array {
    const initializer = this.initializers.map(
      (data): TensorProto =>
        data.inline ?? externalTensor({ ...data, shape: data.dims }, locate(data)),
    );
    const known = this.model.metadataProps.filter(({ key }) => !(key in metadata));
    return toBinary(
      ModelProtoSchema,
      copyWith(this.model, {
        metadataProps: [
          ...known,
          ...Object.entries(metadata).map(([key, value]) => entry(key, value)),
        ],
        graph: copyWith(this.graph, { initializer }),
      }),
    );
  }
}
