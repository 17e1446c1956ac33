import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { readBytes } from '../../checkpoints/read-tensor';
import type { TensorData } from '../../checkpoints/tensor-data';
import { formTensors, mapTensors } from '../../models/forms/form-facts';
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

/** The form with other numbers for the tensors named, in float32 or 16 bits as before; the rest is read from its files. */
export async function withNumbers(
  form: MatrixEncoding,
  numbers: ReadonlyMap<string, Float32Array>,
): Promise<MatrixEncoding<TensorData>> {
  const data = new Map<LazyTensor, TensorData>();
  for (const tensor of formTensors<LazyTensor>(form)) {
    data.set(tensor, await dataOf(tensor, numbers.get(tensor.name)));
  }
  return mapTensors(form, (tensor) => data.get(tensor) ?? lost(tensor));
}

async function dataOf(tensor: LazyTensor, numbers: Float32Array | undefined): Promise<TensorData> {
  const { dtype, shape, length } = tensor;
  if (numbers !== undefined && floats.includes(dtype)) {
    return floatData(shape, numbers, dtype === 'F32' ? dtype : 'F16');
  }
  if (dtype !== 'F32' && dtype !== 'F16' && dtype !== 'U8' && dtype !== 'I8') {
    throw new Error(`${tensor.name} has dtype ${dtype}, which no form has`);
  }
  return { dtype, shape, bytes: await readBytes(tensor, length) };
}

function lost({ name }: LazyTensor): never {
  throw new Error(`${name} is no tensor of the form`);
}
