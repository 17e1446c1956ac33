import { elementCount } from '../../checkpoints/lazy-tensor';
import type { Checkpoint, LazyTensor, PackedDType } from '../../checkpoints/lazy-tensor';
import { readBytes } from '../../checkpoints/read-tensor';
import { UserError } from '../../user-error';
import type { QuantizationSummary } from '../model-summary';
import { groupDTypes, scaleDTypes } from './unpack';
import { counted, say } from '../../message';
import type { Message } from '../../message';

/** Tensors of one linear layer by the end of their names. */
type Parts = ReadonlyMap<string, LazyTensor>;

/** How a method writes the matrix of a linear layer. */
interface Form {
  /** Ends of the names of the tensors that stand for the matrix, behind the layer's own. */
  readonly part: RegExp;
  /** What stands in for the matrix; undefined where the tensors are ordinary ones. */
  readonly join: (parts: Parts, quantization: QuantizationSummary) => Promise<Matrix> | Matrix;
}

/** A matrix without its name and place; undefined where the layer is not quantized. */
type Matrix =
  | (Pick<LazyTensor, 'dtype' | 'packed'> & {
      readonly numbers: LazyTensor;
      /** [out, in] */
      readonly shape: readonly number[];
    })
  | undefined;

const scaled: Form = {
  part: /^(?:weight|weight_scale(?:_inv)?|input_scale|activation_scale|input_scale_ub)$/,
  join: (parts) => asStored(parts),
};

const forms: Readonly<Record<string, Form>> = {
  gptq: { part: /^(?:qweight|qzeros|scales|g_idx)$/, join: joinGptq },
  awq: { part: /^(?:qweight|qzeros|scales)$/, join: joinAwq },
  bitsandbytes: {
    part: /^(?:weight(?:\.(?:(?:nested_)?(?:absmax|quant_map)|quant_state\.bitsandbytes__\w+))?|SCB|weight_format)$/,
    join: joinBitsAndBytes,
  },
  'compressed-tensors': {
    part: /^(?:weight|weight_(?:packed|shape|scale|zero_point|g_idx|global_scale)|(?:input|output)_(?:scale|zero_point|global_scale))$/,
    join: joinCompressed,
  },
  fp8: scaled,
  fbgemm_fp8: scaled,
};

/**
 * The checkpoint with one tensor `<layer>.weight` in place of those that a quantization method
 * keeps for a layer, its shape the logical one.
 * @throws UserError naming a tensor that is missing or does not fit.
 */
export async function joinPacked(
  checkpoint: Checkpoint,
  quantization: QuantizationSummary,
): Promise<Checkpoint> {
  const form = forms[quantization.method];
  if (form === undefined) {
    throw new Error(`no form for ${quantization.method}, which readQuantization refuses`);
  }
  const layers = new Map<string, Map<string, LazyTensor>>();
  const tensors = new Map<string, LazyTensor>();
  for (const [name, tensor] of checkpoint.tensors) {
    const [layer, part] = divideName(name, form.part);
    if (part === undefined) {
      tensors.set(name, tensor);
    } else {
      layers.set(layer, (layers.get(layer) ?? new Map<string, LazyTensor>()).set(part, tensor));
    }
  }
  for (const [layer, parts] of layers) {
    const matrix = await form.join(parts, quantization);
    if (matrix === undefined) {
      for (const tensor of parts.values()) {
        tensors.set(tensor.name, tensor);
      }
      continue;
    }
    const { numbers, ...rest } = matrix;
    const name = `${layer}.weight`;
    const length = [...parts.values()].reduce((sum, part) => sum + part.length, 0);
    tensors.set(name, { file: numbers.file, offset: numbers.offset, ...rest, name, length });
  }
  return { ...checkpoint, tensors };
}

/** Layer and part of a tensor's name; the part may hold dots. */
function divideName(name: string, part: RegExp): [layer: string, part: string | undefined] {
  for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
    const end = name.slice(dot + 1);
    if (part.test(end)) {
      return [name.slice(0, dot), end];
    }
  }
  return [name, undefined];
}

function joinGptq(parts: Parts, quantization: QuantizationSummary): Matrix {
  const numbers = take(parts, 'qweight');
  if (quantization.form !== 'gptq' && quantization.form !== 'gptq_v2') {
    throw unknownForm(numbers, quantization);
  }
  const [rows = 0, out = 0] = matrixShape(numbers);
  const groups = parts.get('g_idx');
  const bits =
    groups === undefined ? (quantization.bits ?? 4) : (rows * 32) / (groups.shape[0] ?? rows);
  const input = (rows * 32) / bits;
  return packed('GPTQ', [out, input], bits, parts, quantization.form === 'gptq_v2' ? 0 : 1);
}

function joinAwq(parts: Parts, quantization: QuantizationSummary): Matrix {
  const numbers = take(parts, 'qweight');
  const [rows = 0, columns = 0] = matrixShape(numbers);
  const bits = quantization.bits ?? 4;
  switch (quantization.form) {
    case 'gemm':
      return packed('AWQ', [(columns * 32) / bits, rows], bits, parts, 0);
    case 'gemv':
      return { numbers, dtype: numbers.dtype, shape: [rows, (columns * 32) / bits] };
    default:
      throw unknownForm(numbers, quantization);
  }
}

/** A packed matrix whose every part fits, or a listing of one that cannot be unpacked. */
function packed(
  dtype: PackedDType,
  shape: readonly [out: number, input: number],
  bits: number,
  parts: Parts,
  zeroOffset: number,
): Matrix {
  const numbers = take(parts, 'qweight');
  const zeros = take(parts, 'qzeros');
  const scales = take(parts, 'scales');
  if (![2, 4, 8].includes(bits)) {
    return { numbers, dtype: numbers.dtype, shape };
  }
  const groups = parts.get('g_idx');
  const [out, input] = shape;
  const [count = 0] = scales.shape;
  expect(numbers, ['I32'], numbers.shape);
  expect(scales, scaleDTypes, [count, out]);
  expect(zeros, ['I32'], [count, (out * bits) / 32]);
  if (groups !== undefined) {
    expect(groups, groupDTypes, [input]);
  } else if (input % count !== 0) {
    throw fault(
      scales,
      say`${input} inputs cannot be divided into ${counted(count, 'group')} evenly.`,
    );
  }
  const weight = { dtype, bits, numbers, zeros, zeroOffset, scales };
  return {
    numbers,
    dtype,
    shape,
    packed: groups === undefined ? weight : { ...weight, groups },
  };
}

const maxStateBytes = 1 << 16;

/** Four bits: two numbers a byte, the shape in a tensor of JSON. Eight: the matrix as it is. */
async function joinBitsAndBytes(parts: Parts): Promise<Matrix> {
  const numbers = parts.get('weight');
  const [, state] = [...parts].find(([part]) => part.includes('quant_state')) ?? [];
  if (numbers === undefined || state === undefined) {
    return parts.has('SCB') ? asStored(parts) : undefined;
  }
  const { shape } = parseState(state, await readBytes(state, maxStateBytes));
  return { numbers, dtype: numbers.dtype, shape };
}

function parseState(tensor: LazyTensor, bytes: Buffer): { shape: number[] } {
  let state: unknown;
  try {
    state = JSON.parse(bytes.toString('utf8'));
  } catch {
    state = undefined;
  }
  const shape = (state as { shape?: unknown } | undefined)?.shape;
  if (!Array.isArray(shape) || !shape.every((size) => Number.isSafeInteger(size))) {
    throw fault(tensor, say`It does not give the shape of the weights.`);
  }
  return { shape: shape as number[] };
}

async function joinCompressed(parts: Parts, { bits }: QuantizationSummary): Promise<Matrix> {
  const numbers = parts.get('weight_packed');
  if (numbers === undefined) {
    return asStored(parts);
  }
  const shape = parts.get('weight_shape');
  if (shape !== undefined) {
    const sizes = await readBytes(shape, 16);
    const size = (i: number): number => Number(sizes.readBigInt64LE(i * 8));
    if (shape.dtype !== 'I64' || sizes.length !== 16) {
      throw fault(shape, say`It is not the two sizes of a matrix.`);
    }
    return { numbers, dtype: numbers.dtype, shape: [size(0), size(1)] };
  }
  const [out = 0, columns = 0] = matrixShape(numbers);
  const wordBits = (numbers.length * 8) / elementCount(numbers.shape);
  return { numbers, dtype: numbers.dtype, shape: [out, (columns * wordBits) / (bits ?? 4)] };
}

/** A matrix that lies beside its scales with one number an element. */
function asStored(parts: Parts): Matrix {
  const numbers = parts.get('weight');
  return numbers === undefined || parts.size === 1
    ? undefined
    : { numbers, dtype: numbers.dtype, shape: numbers.shape };
}

function take(parts: Parts, part: string): LazyTensor {
  const found = parts.get(part);
  if (found === undefined) {
    const { file = '', name = part } = [...parts.values()][0] ?? {};
    throw fault({ file, name }, say`There is no ${part} beside it.`);
  }
  return found;
}

function matrixShape(tensor: LazyTensor): readonly number[] {
  if (tensor.shape.length !== 2 || elementCount(tensor.shape) === 0) {
    throw fault(tensor, say`Its shape [${tensor.shape.join(', ')}] is not that of a matrix.`);
  }
  return tensor.shape;
}

function expect(tensor: LazyTensor, dtypes: readonly string[], shape: readonly number[]): void {
  if (!dtypes.includes(tensor.dtype) || tensor.shape.join() !== shape.join()) {
    throw fault(
      tensor,
      say`It is ${tensor.dtype} [${tensor.shape.join(', ')}], expected ${dtypes.join(' or ')} [${shape.join(', ')}].`,
    );
  }
}

function unknownForm({ file, name }: LazyTensor, quantization: QuantizationSummary): UserError {
  return new UserError(
    say`Weights of ${quantization.method} in the format ${quantization.form ?? ''} are not supported.`,
    { file, field: name, remedy: say`Use the original weights in float32, float16 or bfloat16.` },
  );
}

function fault({ file, name }: Pick<LazyTensor, 'file' | 'name'>, problem: Message): UserError {
  return new UserError(problem, {
    file,
    field: name,
    remedy: say`The weights don't match quantization_config: download the model again.`,
  });
}
