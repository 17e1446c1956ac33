import {
  TensorProto_DataLocation as DataLocation,
  TensorProto_DataType as DataType,
} from '../../../onnx/proto/onnx_pb';
import type { TensorProto } from '../../../onnx/proto/onnx_pb';

/** Maximum length of tensors whose values matter: shapes, axes, factors. */
export const mostNumbers = 64;

/** Encoding of an element type in raw_data and in its typed field. */
interface NumberForm {
  readonly bytes: number;
  readonly read: (view: DataView, offset: number) => number;
  readonly listed: (tensor: TensorProto) => readonly (number | bigint)[];
}

const forms: Readonly<Record<number, NumberForm>> = {
  [DataType.FLOAT]: {
    bytes: 4,
    read: (view, offset) => view.getFloat32(offset, true),
    listed: ({ floatData }) => floatData,
  },
  [DataType.DOUBLE]: {
    bytes: 8,
    read: (view, offset) => view.getFloat64(offset, true),
    listed: ({ doubleData }) => doubleData,
  },
  [DataType.INT32]: {
    bytes: 4,
    read: (view, offset) => view.getInt32(offset, true),
    listed: ({ int32Data }) => int32Data,
  },
  [DataType.INT64]: {
    bytes: 8,
    read: (view, offset) => Number(view.getBigInt64(offset, true)),
    listed: ({ int64Data }) => int64Data,
  },
  [DataType.BOOL]: {
    bytes: 1,
    read: (view, offset) => view.getUint8(offset),
    listed: ({ int32Data }) => int32Data,
  },
};

const floatTypes: readonly number[] = [
  DataType.FLOAT,
  DataType.DOUBLE,
  DataType.FLOAT16,
  DataType.BFLOAT16,
];

/** True for element types of floating-point numbers. */
export const isFloatType = (dataType: number): boolean => floatTypes.includes(dataType);

/** Values of a short tensor stored in the graph; undefined for all others. */
export function tensorNumbers(tensor: TensorProto): number[] | undefined {
  const count = tensor.dims.reduce((product, size) => product * Number(size), 1);
  const form = forms[tensor.dataType];
  if (form === undefined || count > mostNumbers || tensor.dataLocation === DataLocation.EXTERNAL) {
    return undefined;
  }
  const { buffer, byteOffset, byteLength } = tensor.rawData;
  const view = new DataView(buffer, byteOffset, byteLength);
  const numbers =
    byteLength === count * form.bytes
      ? Array.from({ length: count }, (_, i) => form.read(view, i * form.bytes))
      : form.listed(tensor).map(Number);
  return numbers.length === count ? numbers : undefined;
}
