import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { readBytes } from '../../checkpoints/read-tensor';
import { formTensors } from '../../models/forms/form-facts';
import { storeComputedForms } from '../../models/forms/store-forms';
import type { ComputedTensor } from '../../models/forms/store-forms';
import type { MatrixEncoding } from '../../models/matrix-encoding';
import { floatData } from '../tensor-values';

const floats: readonly string[] = ['F32', 'F16', 'BF16'];

/** The same numbers in operators that have gradients. */
export function differentiable(form: MatrixEncoding): MatrixEncoding {
  switch (form.kind) {
    case 'dense':
      return form;
    case 'low-rank':
      return { ...form, left: differentiable(form.left), right: differentiable(form.right) };
    case 'mpo':
      return { ...form, run: 'contracted' };
    case 'block-quantized':
    case 'int8':
      return { ...form, run: 'basic' };
  }
}

/** What of a form is trained: factors, cores, matrices and scales; numbers of few bits stay. */
export function trainedTensors(form: MatrixEncoding): LazyTensor[] {
  const scale = 'inputScale' in form ? form.inputScale : undefined;
  return formTensors<LazyTensor>(form).filter(
    (tensor) => floats.includes(tensor.dtype) && tensor !== scale,
  );
}

/** Whether numbers of few bits stay, so that scales are all that moves them. */
export function hasWholeNumbers(form: MatrixEncoding): boolean {
  return formTensors<LazyTensor>(form).some(({ dtype }) => !floats.includes(dtype));
}

/** Numbers of trained tensors by their names, computed when they are asked for; undefined of others. */
export type NumbersByName = (name: string) => Promise<Float32Array | undefined>;

/** Writes forms with other numbers into a safetensors file, and gives them back as they lie there. */
export const storeRepaired = async (
  path: string,
  forms: ReadonlyMap<string, MatrixEncoding>,
  numbersOf: NumbersByName,
): Promise<Map<string, MatrixEncoding>> =>
  storeComputedForms(path, forms, (tensor) => withNumbers(tensor, numbersOf));

/** A form's tensor with other numbers, in float32 or 16 bits as before, or, where there are none, as it lies in its file. */
function withNumbers(tensor: LazyTensor, numbersOf: NumbersByName): Omit<ComputedTensor, 'name'> {
  const { name, dtype, shape, length } = tensor;
  const isFloat = floats.includes(dtype);
  const stored = dtype === 'BF16' ? 'F16' : dtype;
  const bytes = async (): Promise<Uint8Array> => {
    const numbers = isFloat ? await numbersOf(name) : undefined;
    if (numbers !== undefined) {
      return floatData(shape, numbers, stored === 'F32' ? stored : 'F16').bytes;
    }
    if (stored !== dtype) {
      throw new Error(`${name} has dtype ${dtype}, which no form has`);
    }
    return readBytes(tensor, length);
  };
  return { dtype: stored, shape, length, bytes };
}
