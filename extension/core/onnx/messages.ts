import { create } from '@bufbuild/protobuf';
import {
  AttributeProto_AttributeType as AttributeType,
  AttributeProtoSchema,
  StringStringEntryProtoSchema,
  TensorProto_DataLocation as DataLocation,
  TensorProto_DataType as DataType,
  TensorProtoSchema,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  ValueInfoProtoSchema,
} from './proto/onnx_pb';
import type { Message } from '@bufbuild/protobuf';
import type {
  AttributeProto,
  GraphProto,
  StringStringEntryProto,
  TensorProto,
  ValueInfoProto,
} from './proto/onnx_pb';

/** A size, or the name of a size known only when the graph runs. */
export type Dimension = number | string;

/** Marks an attribute as a float, since JavaScript has one type of number. */
export interface FloatAttribute {
  readonly float: number;
}
/** Marks `value` as a float attribute. */
export function float(value: number): FloatAttribute {
  return { float: value };
}

export type Attribute = number | readonly number[] | string | FloatAttribute | GraphProto;

/** Array classes for the element types that `GraphBuilder.numbers` supports. */
export const numberArrays: Readonly<
  Record<number, { from: (values: ArrayLike<number>) => Float32Array | Float64Array | Int32Array }>
> = {
  [DataType.FLOAT]: Float32Array,
  [DataType.DOUBLE]: Float64Array,
  [DataType.INT32]: Int32Array,
};

/**
 * Copy of a message with other values in some fields. Keeps unknown fields and unset defaults, which spreading would
 * drop. Lists are copied, their messages are shared.
 */
export function copyWith<M extends Message>(
  message: M,
  changes: Partial<Omit<M, keyof Message>>,
): M {
  const lists = Object.entries(message).flatMap(([field, value]): [string, unknown[]][] =>
    Array.isArray(value) && !(field in changes) ? [[field, value.slice()]] : [],
  );
  const copy = Object.create(Object.getPrototypeOf(message) as object) as M;
  return Object.assign(copy, message, Object.fromEntries(lists), changes);
}

/** Initializer whose bytes remain in a file. */
export interface ExternalData {
  /** Name of the initializer, unique in the graph. */
  readonly name: string;
  /** Number of the element type, as in onnx.proto. */
  readonly dataType: number;
  readonly shape: readonly number[];
  /** Absolute path. */
  readonly file: string;
  readonly offset: number;
  /** Length in bytes. */
  readonly length: number;
}

/** Location of an initializer's bytes, as stated in the serialized model. */
export interface ExternalLocation {
  /** Path relative to the folder given to ONNX Runtime, with forward slashes. */
  readonly location: string;
  readonly offset: number;
}

export function attribute(name: string, value: Attribute): AttributeProto {
  if (typeof value === 'string') {
    return create(AttributeProtoSchema, {
      name,
      type: AttributeType.STRING,
      s: new TextEncoder().encode(value),
    });
  }
  if (typeof value === 'number') {
    return create(AttributeProtoSchema, { name, type: AttributeType.INT, i: BigInt(value) });
  }
  if ('$typeName' in value) {
    return create(AttributeProtoSchema, { name, type: AttributeType.GRAPH, g: value });
  }
  if ('float' in value) {
    return create(AttributeProtoSchema, { name, type: AttributeType.FLOAT, f: value.float });
  }
  return create(AttributeProtoSchema, {
    name,
    type: AttributeType.INTS,
    ints: value.map(BigInt),
  });
}

export function entry(key: string, value: string): StringStringEntryProto {
  return create(StringStringEntryProtoSchema, { key, value });
}

export function externalTensor(data: ExternalData, at: ExternalLocation): TensorProto {
  return create(TensorProtoSchema, {
    name: data.name,
    dataType: data.dataType,
    dims: data.shape.map(BigInt),
    dataLocation: DataLocation.EXTERNAL,
    externalData: [
      entry('location', at.location),
      entry('offset', String(at.offset)),
      entry('length', String(data.length)),
    ],
  });
}

export function valueInfo(
  name: string,
  elemType: DataType,
  shape?: readonly (Dimension | undefined)[],
): ValueInfoProto {
  const dim = shape?.map((size) =>
    create(
      TensorShapeProto_DimensionSchema,
      size === undefined
        ? {}
        : {
            value:
              typeof size === 'number'
                ? { case: 'dimValue', value: BigInt(size) }
                : { case: 'dimParam', value: size },
          },
    ),
  );
  return create(ValueInfoProtoSchema, {
    name,
    type: create(TypeProtoSchema, {
      value: {
        case: 'tensorType',
        value: create(TypeProto_TensorSchema, {
          elemType,
          ...(dim === undefined ? {} : { shape: create(TensorShapeProtoSchema, { dim }) }),
        }),
      },
    }),
  });
}
