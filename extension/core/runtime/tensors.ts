import { Tensor } from 'onnxruntime-node';
import type { InferenceSession } from 'onnxruntime-node';
export type { Tensor } from 'onnxruntime-node';
import { DataType } from '../onnx/graph-builder';
import type { ExampleValue } from '../models/model-input';
import { floatsToHalves, halvesToFloats } from '../checkpoints/half';

/** Values by name. */
export type Tensors = Readonly<Record<string, Tensor>>;

/** One example at a boundary between sublayers. */
export interface HiddenState {
  /** Values of the boundary by name; batch 1. */
  readonly values: Tensors;
  /** Other outputs of the prologue. Every boundary shares the same object. */
  readonly side: Tensors;
}

/**
 * A float32 or int8 tensor over `bytes`, which are not copied.
 * @throws Error for other element types, which no weight is computed as
 */
export function weightTensor(
  dataType: DataType,
  shape: readonly number[],
  bytes: Uint8Array,
): Tensor {
  const { buffer, byteOffset, byteLength } = bytes;
  if (dataType === DataType.FLOAT) {
    const numbers = new Float32Array(buffer as ArrayBuffer, byteOffset, byteLength / 4);
    return new Tensor('float32', numbers, shape);
  }
  if (dataType === DataType.INT8) {
    return new Tensor('int8', new Int8Array(buffer as ArrayBuffer, byteOffset, byteLength), shape);
  }
  throw new Error(`no weight is computed as element type ${dataType}`);
}

/** Bytes of a state, without side values. */
export function stateBytes({ values }: HiddenState): number {
  return Object.values(values).reduce((sum, tensor) => sum + byteLength(tensor), 0);
}

/** True if all floating-point values of a state are finite. */
export function isFiniteState({ values }: HiddenState): boolean {
  return Object.values(values).every(
    (tensor) => !isFloat(tensor) || floatsIn(tensor).every(Number.isFinite),
  );
}

/**
 * Joins tensors of one shape along axis 0; a single one is not copied.
 * @param allocate returns an array of this length for the result
 */
export function join(
  tensors: readonly Tensor[],
  allocate = (length: number): Float32Array => new Float32Array(length),
): Tensor {
  const [first] = tensors;
  if (first === undefined) {
    throw new Error('nothing to join');
  }
  if (tensors.length === 1) {
    return first;
  }
  const size = first.size;
  const target = allocate(tensors.length * size);
  tensors.forEach((tensor, i) => {
    target.set(floatsIn(tensor), i * size);
  });
  const [batch = 1, ...rest] = first.dims;
  return new Tensor('float32', target, [batch * tensors.length, ...rest]);
}

/** A tensor in main memory with values of its own. */
export function copyTensor({ type, data, dims }: Tensor): Tensor {
  return new Tensor(type, data.slice(), dims);
}

/** Some rows of one of a batch, as a view: tensor [batch, rows, …] as [1, end − start, …]. */
export function rowsIn(
  tensor: Tensor,
  { start, end }: { readonly start: number; readonly end: number },
  of = 0,
): Tensor {
  const [batch = 1, rows = 1, ...rest] = tensor.dims;
  const perRow = tensor.size / (batch * rows);
  const first = of * rows;
  const data = tensor.data as Float32Array;
  const part = data.subarray((first + start) * perRow, (first + end) * perRow);
  return new Tensor(tensor.type as 'float32', part, [1, end - start, ...rest]);
}

/**
 * Empty tensors, such as caches before the first token, in the sizes that a graph declares, which may have fewer heads.
 */
export function emptyAsDeclared(
  { inputMetadata }: Pick<InferenceSession, 'inputMetadata'>,
  feeds: Tensors,
): Tensors {
  const fitted = Object.entries(feeds).map(([name, tensor]): [string, Tensor] => {
    const declared =
      tensor.size === 0
        ? inputMetadata.find((one) => one.name === name && one.isTensor)
        : undefined;
    const dims = tensor.dims.map((size, axis) => {
      const fixedSize = declared?.isTensor === true ? declared.shape[axis] : undefined;
      return typeof fixedSize === 'number' && fixedSize > 0 ? fixedSize : size;
    });
    return declared === undefined || !dims.includes(0)
      ? [name, tensor]
      : [name, new Tensor(tensor.type, tensor.data, dims)];
  });
  return Object.fromEntries(fitted);
}

/** Splits a float32 tensor along axis 0 into `count` copies. */
export function divide(tensor: Tensor, count: number): Tensor[] {
  if (count === 1) {
    return [tensor];
  }
  const numbers = floatsIn(tensor);
  const size = numbers.length / count;
  const [batch = count, ...rest] = tensor.dims;
  return Array.from(
    { length: count },
    (_, i) =>
      new Tensor('float32', numbers.slice(i * size, (i + 1) * size), [batch / count, ...rest]),
  );
}

/** Rows `start` to `end` of the float32 value `name` [1, rows, …], not copied. */
export function sliceRows(values: Tensors, name: string, start: number, end: number): Tensor {
  const tensor = values[name];
  if (tensor === undefined) {
    throw new Error(`the state has no value named ${name}`);
  }
  return rowsBetween(tensor, start, end);
}

/** Rows `start` to `end` of axis 1 of a float32 tensor [1, rows, …], not copied; on a device the first rows alone. */
export function rowsBetween(tensor: Tensor, start: number, end: number): Tensor {
  const [, rows = 1, ...rest] = tensor.dims;
  if (start === 0) {
    return shapedAs(tensor, [1, end, ...rest]);
  }
  const numbers = floatsIn(tensor);
  const size = numbers.length / rows;
  return new Tensor('float32', numbers.subarray(start * size, end * size), [
    1,
    end - start,
    ...rest,
  ]);
}

/** A tensor of any shape as float32 [1, rows, width], width being its last size. */
export function asRows(tensor: Tensor): Tensor {
  const width = tensor.dims.at(-1) ?? 1;
  return shapedAs(tensor, [1, tensor.size / Math.max(1, width), width]);
}

/** View of a float32 tensor's values, or of the first of them, in another shape. */
export function shapedAs(tensor: Tensor, dims: readonly number[]): Tensor {
  const size = dims.reduce((product, dim) => product * dim, 1);
  return isOnDevice(tensor)
    ? Tensor.fromGpuBuffer(tensor.gpuBuffer, { dataType: 'float32', dims })
    : new Tensor('float32', floatsIn(tensor).subarray(0, size), dims);
}

/** True if the values are in device memory, which only the sessions of the device can read. */
export const isOnDevice = ({ location }: Tensor): boolean => location === 'gpu-buffer';

/** Values of a float32 tensor without a copy, or of a float16 tensor widened. */
export function floatsIn(tensor: Tensor): Float32Array {
  const { data, type } = tensor;
  if (data instanceof Float32Array) {
    return data;
  }
  if (type === 'float16' && ArrayBuffer.isView(data)) {
    return halvesToFloats(new Uint16Array(data.buffer, data.byteOffset, tensor.size));
  }
  throw new Error(`a ${type} tensor holds no floating-point numbers`);
}

/** Floating-point values of an output. */
export function floatOutput(
  outputs: InferenceSession.OnnxValueMapType,
  name: string,
): Float32Array {
  return floatsIn(outputTensor(outputs, name));
}

/** The output called `name`. */
export function outputTensor(outputs: InferenceSession.OnnxValueMapType, name: string): Tensor {
  const value = outputs[name];
  return value instanceof Tensor ? value : missingOutput(name);
}

/** An int32 without dimensions. */
export function int32Scalar(value: number): Tensor {
  return new Tensor('int32', Int32Array.of(value), []);
}

/** Float32 tensor that shares the given array. */
export function floatTensor(numbers: Float32Array, shape: readonly number[]): Tensor {
  return new Tensor('float32', numbers, shape);
}

/** A tensor of the shape and type of another: float32, or float16 with each number rounded to it. */
export function floatTensorLike({ type, dims }: Tensor, numbers: Float32Array): Tensor {
  if (type !== 'float16') {
    return floatTensor(numbers, dims);
  }
  return new Tensor('float16', floatsToHalves(numbers), dims);
}

/** Float64 tensor that shares the given array. */
export function doubleTensor(numbers: Float64Array, shape: readonly number[]): Tensor {
  return new Tensor('float64', numbers, shape);
}

/** Values of a float64 output. */
export function doubleOutput(
  outputs: InferenceSession.OnnxValueMapType,
  name: string,
): Float64Array {
  const { data, type } = outputTensor(outputs, name);
  if (data instanceof Float64Array) {
    return data;
  }
  throw new Error(`a ${type} tensor holds no float64 numbers`);
}

/** Integers as an int64 tensor. */
export function int64Tensor(values: Iterable<number>, shape: readonly number[]): Tensor {
  return new Tensor('int64', BigInt64Array.from([...values], BigInt), shape);
}

/** Integers as an int32 tensor. */
export function int32Tensor(values: Iterable<number>, shape: readonly number[]): Tensor {
  return new Tensor('int32', Int32Array.from(values), shape);
}

const typeNames: Readonly<Record<string, Tensor.Type>> = {
  F32: 'float32',
  F16: 'float16',
  F64: 'float64',
  I8: 'int8',
  U8: 'uint8',
  I16: 'int16',
  U16: 'uint16',
  I32: 'int32',
  U32: 'uint32',
  I64: 'int64',
  U64: 'uint64',
  BOOL: 'bool',
};

/** Converts an example's value to an ONNX Runtime tensor. */
export function exampleTensor({ dtype, dims, data }: ExampleValue): Tensor {
  const type = typeNames[dtype];
  if (type === undefined) {
    throw new Error(`no tensor can be made of ${dtype}`);
  }
  return new Tensor(type, data as Tensor.DataType, dims);
}

export function isFloat({ type }: Tensor): boolean {
  return type === 'float32' || type === 'float16';
}

export function byteLength(tensor: Tensor): number {
  if (isOnDevice(tensor)) {
    return tensor.size * Float32Array.BYTES_PER_ELEMENT;
  }
  const { data } = tensor;
  return ArrayBuffer.isView(data) ? data.byteLength : 0;
}

function missingOutput(name: string): never {
  throw new Error(`the graph has no output named ${name}`);
}
