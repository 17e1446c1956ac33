import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import { UserError } from '../../user-error';
import type { ByteRange } from '../byte-copier';
import type { Importance } from './importance';
import { writableTypes } from '../../checkpoints/ggml-types';
import { fitsRows } from '../../checkpoints/quantize/quantizers';
import type { WritableType } from '../../checkpoints/ggml-types';
import { mixedTypes, takesTypes, typeMixes } from './type-mixes';
import type { MixedModel, NamedShape, TypeMix } from './type-mixes';
import { say } from '../../message';

/** Quantization types of the tensors of a GGUF file. */
export interface GgufTypes {
  /** A mix of llama.cpp; as stored when absent. */
  readonly mix?: TypeMix;
  /** Types of single tensors, by their names in a GGUF file of the original; they go before the mix. */
  readonly tensors?: Readonly<Record<string, string>>;
  /** Importance of the inputs of matrices. */
  readonly importance?: Importance;
  /**
   * True if importance is measured before the file is written, because some mixes depend on it. By default, true if an
   * importance matrix is given.
   */
  readonly hasImportance?: boolean;
  /** Tensors that are rounded already, by their names in the file; nothing else decides their bytes. */
  readonly rounded?: ReadonlyMap<string, ByteRange>;
}

/** Tensor of the file, and the source of its values. */
export interface TypedTensor extends NamedShape {
  readonly stored: LazyTensor;
}

/** Tensor with its name in a GGUF file of the original, where blocks may have other numbers. */
interface NumberedTensor extends TypedTensor {
  readonly sourceName: string;
}

/** True for integer tables, which can have only one type. */
export const isTable = ({ stored }: TypedTensor): boolean =>
  stored.packed === undefined && (stored.dtype === 'I32' || stored.dtype === 'I64');

/** Types of folders that GGUF files have as well. */
const plainTypes: readonly string[] = ['F32', 'F16', 'BF16'] satisfies WritableType[];

/** Default type for a folder's tensor: float32 for vectors, float16 for quantized tensors, else the stored type. */
export function plainType({ stored, ...tensor }: TypedTensor): WritableType {
  const dtype = stored.packed === undefined ? stored.dtype : 'F16';
  const type = writableTypes.find((one) => one === dtype);
  return takesTypes(tensor) && type !== undefined && plainTypes.includes(type) ? type : 'F32';
}

/**
 * Requested type of each tensor, by its name in the file.
 * @throws UserError if a requested tensor doesn't exist or can't have the type
 */
export function chosenTypes(
  tensors: readonly NumberedTensor[],
  model: Omit<MixedModel, 'hasImportance'>,
  {
    mix,
    tensors: single = {},
    importance = new Map(),
    hasImportance = importance.size > 0,
  }: GgufTypes,
): ReadonlyMap<string, WritableType> {
  const types = new Map(
    mix === undefined ? [] : mixedTypes(mix, tensors, { ...model, hasImportance }),
  );
  const byName = new Map(tensors.map((tensor) => [tensor.sourceName, tensor]));
  for (const [name, type] of Object.entries(single)) {
    const tensor = byName.get(name);
    if (tensor === undefined) {
      throw new UserError(
        'tensor-unknown',
        say`The original has no tensor of this name, or the plan removes it.`,
        {
          field: `types.${name}`,
          remedy: say`Delete the entry, or use the name of another tensor in a GGUF file of the original, such as blk.0.ffn_down.weight.`,
        },
      );
    }
    types.set(tensor.name, checkedType(type, tensor));
  }
  return types;
}

function checkedType(type: string, tensor: NumberedTensor): WritableType {
  const { sourceName, shape } = tensor;
  const field = `types.${sourceName}`;
  if (isTable(tensor)) {
    throw new UserError('tensor-type-fixed', say`The type of an integer table can't be changed.`, {
      field,
      remedy: say`Specify another tensor.`,
    });
  }
  const known = writableTypes.find((one) => one === type);
  if (known === undefined) {
    throw new UserError('tensor-type-not-writable', say`Tensors can't be written as ${type}.`, {
      field,
      remedy: say`Choose one of ${writableTypes.join(', ')}.`,
    });
  }
  const [length = 1] = shape.slice(-1);
  if (!fitsRows(known, length)) {
    throw new UserError(
      'tensor-rows-not-divisible',
      say`Rows of ${length} values can't be divided into quantization blocks of ${known}.`,
      { field, remedy: say`Choose Q8_0 or F16.` },
    );
  }
  return known;
}

/** Value of `general.file_type`: that of the mix, or of the most frequent weight type. */
export function fileType({ mix }: GgufTypes, tensors: readonly TypedTensor[]): number {
  const stored = tensors.find(({ name }) => name.endsWith('ffn_down.weight'))?.stored.dtype;
  return typeMixes[mix ?? (stored === 'F16' || stored === 'BF16' ? stored : 'F32')].fileType;
}

/** Largest relative error of the logits that rounding to a type may cause, for types that round. */
const errors: Readonly<Record<WritableType, number>> = {
  F32: 0,
  ...{ F16: 0.05, BF16: 0.05, Q8_0: 0.2, Q6_K: 0.5, Q5_1: 0.5, Q5_0: 0.5, Q5_K: 0.5 },
  ...{ Q4_1: 1, Q4_0: 1, Q4_K: 1, IQ4_NL: 1, IQ4_XS: 1, Q3_K: 2, Q2_K: 2 },
};

/**
 * Rounding error of writing a tensor as a type. Values that were changed are always rounded again.
 */
export function roundingError(
  { dtype }: LazyTensor,
  type: WritableType,
  isChanged = false,
): number {
  const isExact = type === 'F32' ? dtype !== 'F64' : dtype === type && !isChanged;
  return isExact ? 0 : errors[type];
}
