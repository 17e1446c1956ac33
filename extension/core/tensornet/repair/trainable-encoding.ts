import { floatDTypes } from '../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { quantizeRows } from '../../checkpoints/quantize/quantizers';
import { readBytes } from '../../checkpoints/read-tensor';
import { encodingTensors } from '../../models/encodings/encoding-facts';
import { storeComputedEncodings } from '../../models/encodings/store-encodings';
import type { ComputedTensor } from '../../models/encodings/store-encodings';
import type { MatrixEncoding } from '../../models/matrix-encoding';

/** The same encoding in operators that have gradients. */
export function differentiable(form: MatrixEncoding): MatrixEncoding {
  switch (form.kind) {
    case 'dense':
      return form;
    case 'low-rank':
      return { ...form, left: differentiable(form.left), right: differentiable(form.right) };
    case 'mpo':
      return { ...form, run: 'contracted' };
    case 'group-quantized':
    case 'int8':
      return { ...form, run: 'basic' };
  }
}

/** Trainable tensors of an encoding: factors, cores, matrices and scales; integers are frozen. */
export function trainedTensors(form: MatrixEncoding): LazyTensor[] {
  const scale = 'inputScale' in form ? form.inputScale : undefined;
  return encodingTensors<LazyTensor>(form).filter(
    (tensor) => floatDTypes.includes(tensor.dtype) && tensor !== scale,
  );
}

/** True if the encoding has frozen integers, so that only scales can change. */
export function hasWholeNumbers(form: MatrixEncoding): boolean {
  return encodingTensors<LazyTensor>(form).some(({ dtype }) => !floatDTypes.includes(dtype));
}

/** Computes the values of trained tensors by name, on request; undefined for other tensors. */
export type NumbersByName = (name: string) => Promise<Float32Array | undefined>;

/** Writes encodings with new values to a safetensors file, and returns them as stored there. */
export const storeRepaired = async (
  path: string,
  forms: ReadonlyMap<string, MatrixEncoding>,
  numbersOf: NumbersByName,
): Promise<Map<string, MatrixEncoding>> =>
  storeComputedEncodings(path, forms, (tensor) => withNumbers(tensor, numbersOf));

/** Tensor of an encoding with new values in its dtype; without new values, as stored in its file. */
function withNumbers(tensor: LazyTensor, numbersOf: NumbersByName): Omit<ComputedTensor, 'name'> {
  const { name, dtype, shape, length } = tensor;
  const type = (['F32', 'F16', 'BF16'] as const).find((one) => one === dtype);
  const bytes = async (): Promise<Uint8Array> => {
    const numbers = type === undefined ? undefined : await numbersOf(name);
    return type === undefined || numbers === undefined
      ? readBytes(tensor, length)
      : quantizeRows(type, numbers, numbers.length);
  };
  return { dtype, shape, length, bytes };
}
