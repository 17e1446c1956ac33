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

const numberForm = (
  bytes: number,
  read: NumberForm['read'],
  field: 'floatData' | 'doubleData' | 'int32Data' | 'int64Data',
): NumberForm => ({ bytes, read, listed: (tensor) => tensor[field] });

const forms: Readonly<Record<number, NumberForm>> = {
  [DataType.FLOAT]: numberForm(4, (view, at) => view.getFloat32(at, true), 'floatData'),
  [DataType.DOUBLE]: numberForm(8, (view, at) => view.getFloat64(at, true), 'doubleData'),
  [DataType.INT32]: numberForm(4, (view, at) => view.getInt32(at, true), 'int32Data'),
  [DataType.INT64]: numberForm(8, (view, at) => Number(view.getBigInt64(at, true)), 'int64Data'),
  [DataType.BOOL]: numberForm(1, (view, at) => view.getUint8(at), 'int32Data'),
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
