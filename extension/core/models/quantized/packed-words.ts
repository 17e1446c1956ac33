import { UserError } from '../../user-error';
import { floatDTypes } from '../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { QuantizationSummary } from '../model-summary';
import { expect, fault, groupDTypes, matrixShape, take } from './packed-parts';
import type { Matrix, Parts } from './packed-parts';
import { counted, say } from '../../message';

export function joinGptq(parts: Parts, quantization: QuantizationSummary): Matrix {
  const numbers = take(parts, 'qweight');
  if (quantization.form !== 'gptq' && quantization.form !== 'gptq_v2') {
    throw unknownForm(numbers, quantization);
  }
  const [words, out] = matrixShape(numbers);
  const groups = parts.get('g_idx');
  const bits =
    groups === undefined ? (quantization.bits ?? 4) : (words * 32) / (groups.shape[0] ?? words);
  const shape = [(words * 32) / bits, out] as const;
  const zeroOffset = quantization.form === 'gptq_v2' ? 0 : -1;
  const { byActivation, groupSize = -1 } = quantization;
  // Of groups that do not divide the inputs the last is a short one.
  const areRuns = byActivation !== true && (groupSize < 1 || shape[0] % groupSize === 0);
  return joinWords(parts, shape, bits, { zeroOffset, order: 'rows', areRuns });
}

export function joinAwq(parts: Parts, quantization: QuantizationSummary): Matrix {
  const numbers = take(parts, 'qweight');
  const [rows, words] = matrixShape(numbers);
  const { bits = 4, groupSize } = quantization;
  const columns = (words * 32) / bits;
  switch (quantization.form) {
    case 'gemm':
      return joinWords(parts, [rows, columns], bits, { zeroOffset: 0, order: 'even-first' });
    case 'gemv':
      return joinRows(parts, [rows, columns], bits, groupSize ?? columns);
    default:
      throw unknownForm(numbers, quantization);
  }
}

/** Layout of values in words, and the offset of stored zero points. */
interface WordForm {
  readonly zeroOffset: number;
  readonly order: 'rows' | 'even-first';
  /**
   * True if groups are consecutive inputs, even though the checkpoint stores a group index per
   * input.
   */
  readonly areRuns?: boolean;
}

/** Words [in, out], with a zero and a scale for each group of inputs. */
function joinWords(
  parts: Parts,
  shape: readonly [input: number, out: number],
  bits: number,
  { zeroOffset, order, areRuns = false }: WordForm,
): Matrix {
  const numbers = take(parts, 'qweight');
  const zeros = take(parts, 'qzeros');
  const scales = take(parts, 'scales');
  const [input, out] = shape;
  if (![2, 3, 4, 8].includes(bits)) {
    return { numbers, shape: [out, input] };
  }
  const groups = parts.get('g_idx');
  const [count = 0] = scales.shape;
  expect(numbers, ['I32'], numbers.shape);
  expect(scales, floatDTypes, [count, out]);
  expect(zeros, ['I32'], [count, (out * bits) / 32]);
  if (groups !== undefined) {
    expect(groups, groupDTypes, [input]);
  } else {
    requireEven(scales, input, count);
  }
  const spread =
    groups === undefined ? {} : { groups: { tensor: groups, axis: 0 as const, areRuns } };
  const zeroCodes = {
    bits,
    order: order === 'rows' ? 'columns' : order,
    values: 'unsigned',
  } as const;
  const zeroMatrix = { shape: [count, out], tensor: zeros, codes: zeroCodes } as const;
  return {
    numbers,
    shape: [out, input],
    isTransposed: true,
    packed: {
      shape,
      tensor: numbers,
      codes: { bits, order, values: 'unsigned' },
      minus: {
        matrix: zeroOffset === 0 ? zeroMatrix : { ...zeroMatrix, minus: zeroOffset },
        ...spread,
      },
      times: { matrix: { shape: [count, out], tensor: scales }, ...spread },
    },
  };
}

/** Words [out, in], with zeros and scales [out, groups] that are filled up to whole words. */
function joinRows(
  parts: Parts,
  shape: readonly [out: number, input: number],
  bits: number,
  groupSize: number,
): Matrix {
  const numbers = take(parts, 'qweight');
  const zeros = take(parts, 'qzeros');
  const scales = take(parts, 'scales');
  const [out, input] = shape;
  const count = input / groupSize;
  const stored = scales.shape[1] ?? 0;
  expect(numbers, ['I32'], numbers.shape);
  expect(scales, floatDTypes, [out, Math.max(stored, count)]);
  expect(zeros, ['I32'], [out, (stored * bits) / 32]);
  requireEven(numbers, input, count);
  const grid = [out, count] as const;
  const codes = { bits, order: 'columns', values: 'unsigned' } as const;
  return {
    numbers,
    shape,
    packed: {
      shape,
      tensor: numbers,
      codes,
      minus: { matrix: { shape: grid, tensor: zeros, codes, stored } },
      times: { matrix: { shape: grid, tensor: scales, stored } },
    },
  };
}

function requireEven(tensor: LazyTensor, input: number, count: number): void {
  if (!Number.isInteger(count) || input % count !== 0) {
    throw fault(
      tensor,
      'packed-groups-uneven',
      say`${input} inputs can't be divided into ${counted(count, 'group')} evenly.`,
    );
  }
}

function unknownForm({ file, name }: LazyTensor, quantization: QuantizationSummary): UserError {
  return new UserError(
    'packing-unsupported',
    say`Weights of ${quantization.method} in the format ${quantization.form ?? ''} are not supported.`,
    { file, field: name, remedy: say`Use the original weights in float32, float16 or bfloat16.` },
  );
}
