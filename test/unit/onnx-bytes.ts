import { create, toBinary } from '@bufbuild/protobuf';
import { DataType } from '../../extension/core/onnx/graph-builder';
import {
  AttributeProto_AttributeType as AttributeType,
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  StringStringEntryProtoSchema,
  TensorProto_DataLocation as DataLocation,
  TensorProtoSchema,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  ValueInfoProtoSchema,
} from '../../extension/core/onnx/proto/onnx_pb';
import type {
  AttributeProto,
  GraphProto,
  NodeProto,
  TensorProto,
  ValueInfoProto,
} from '../../extension/core/onnx/proto/onnx_pb';

export type NodeLine = readonly [
  type: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes?: Readonly<Record<string, number | readonly number[] | string | GraphProto>>,
];

export interface GraphText {
  readonly inputs: Readonly<Record<string, readonly (number | string)[]>>;
  readonly outputs: Readonly<Record<string, readonly (number | string)[]>>;
  readonly nodes: readonly NodeLine[];
  readonly initializers?: readonly TensorProto[];
}

const floatAttributes = /epsilon$|^(?:alpha|beta|scale|mask_filter_value)$/;

/** A node; `domain:Type` gives the domain. */
function node([type, input, output, attributes = {}]: NodeLine): NodeProto {
  const [opType = '', domain = ''] = type.split(':').reverse();
  return create(NodeProtoSchema, {
    name: output.join(),
    opType,
    domain,
    input: [...input],
    output: [...output],
    attribute: Object.entries(attributes).map(([name, value]) => attribute(name, value)),
  });
}

function attribute(
  name: string,
  value: number | readonly number[] | string | GraphProto,
): AttributeProto {
  if (typeof value === 'string') {
    return create(AttributeProtoSchema, {
      name,
      type: AttributeType.STRING,
      s: new TextEncoder().encode(value),
    });
  }
  if (typeof value === 'number') {
    return floatAttributes.test(name)
      ? create(AttributeProtoSchema, { name, type: AttributeType.FLOAT, f: value })
      : create(AttributeProtoSchema, { name, type: AttributeType.INT, i: BigInt(value) });
  }
  return 'node' in value
    ? create(AttributeProtoSchema, { name, type: AttributeType.GRAPH, g: value })
    : create(AttributeProtoSchema, { name, type: AttributeType.INTS, ints: value.map(BigInt) });
}

export function graph(text: GraphText): GraphProto {
  return create(GraphProtoSchema, {
    name: 'test',
    node: text.nodes.map(node),
    input: Object.entries(text.inputs).map(([name, dims]) => valueInfo(name, dims)),
    output: Object.entries(text.outputs).map(([name, dims]) => valueInfo(name, dims)),
    initializer: [...(text.initializers ?? [])],
  });
}

export function modelBytes(text: GraphText, opset = 17): Uint8Array {
  return toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, {
      irVersion: 8n,
      opsetImport: [
        create(OperatorSetIdProtoSchema, { version: BigInt(opset) }),
        create(OperatorSetIdProtoSchema, { domain: 'com.microsoft', version: 1n }),
      ],
      metadataProps: [create(StringStringEntryProtoSchema, { key: 'made by', value: 'hand' })],
      graph: graph(text),
    }),
  );
}

function valueInfo(name: string, dims: readonly (number | string)[]): ValueInfoProto {
  const elemType = name.includes('ids') || name.includes('mask') ? DataType.INT64 : DataType.FLOAT;
  const dim = dims.map((size) =>
    create(TensorShapeProto_DimensionSchema, {
      value:
        typeof size === 'number'
          ? { case: 'dimValue', value: BigInt(size) }
          : { case: 'dimParam', value: size },
    }),
  );
  const shape = create(TensorShapeProtoSchema, { dim });
  const value = create(TypeProto_TensorSchema, { elemType, shape });
  return create(ValueInfoProtoSchema, {
    name,
    type: create(TypeProtoSchema, { value: { case: 'tensorType', value } }),
  });
}

/** A float32 tensor in raw_data. */
export function rawTensor(name: string, dims: readonly number[], values?: number[]): TensorProto {
  const length = dims.reduce((product, size) => product * size, 1);
  const data = Float32Array.from({ length }, (_, i) => values?.[i] ?? Math.sin(i + name.length));
  return create(TensorProtoSchema, {
    name,
    dataType: DataType.FLOAT,
    dims: dims.map(BigInt),
    rawData: new Uint8Array(data.buffer),
  });
}

export function floatTensor(name: string, dims: readonly number[]): TensorProto {
  const { rawData, ...rest } = rawTensor(name, dims);
  const floats = [...new Float32Array(rawData.buffer as ArrayBuffer)];
  return create(TensorProtoSchema, {
    name: rest.name,
    dataType: 1,
    dims: rest.dims,
    floatData: floats,
  });
}

export function intTensor(name: string, values: readonly number[]): TensorProto {
  return create(TensorProtoSchema, {
    name,
    dataType: DataType.INT64,
    dims: [BigInt(values.length)],
    int64Data: values.map(BigInt),
  });
}

export function externalTensor(
  name: string,
  dims: readonly number[],
  entries: Readonly<Record<string, string>>,
): TensorProto {
  return create(TensorProtoSchema, {
    name,
    dataType: DataType.FLOAT,
    dims: dims.map(BigInt),
    dataLocation: DataLocation.EXTERNAL,
    externalData: Object.entries(entries).map(([key, value]) =>
      create(StringStringEntryProtoSchema, { key, value }),
    ),
  });
}
