import type { InputPort } from '../../models/layered-model';
import type { ErrorCode } from '../../error-codes';
import { UserError } from '../../user-error';
import type { ErrorPlace } from '../../user-error';
import {
  describeArray,
  fillArray,
  isArrayDType,
  isFloat,
  numberAt,
} from '../../checkpoints/numeric-array';
import type { NumericArray } from '../../checkpoints/numeric-array';
import { say } from '../../message';
import type { Message } from '../../message';

/**
 * Checks that an array fits an input and converts its dtype if that only rounds fractions.
 * @throws UserError naming the file and the input.
 */
export function fitToPort(array: NumericArray, port: InputPort, file: string): NumericArray {
  const place = { file, field: port.name };
  checkDims(array, port, place);
  checkFinite(array, place);
  return convert(array, port.dtype, place);
}

/** @throws UserError if an array's shape doesn't fit an input. */
export function checkDims(
  array: Pick<NumericArray, 'dims'> & { readonly dtype: string },
  { shape }: InputPort,
  place: ErrorPlace,
): void {
  const fits =
    shape === undefined ||
    (shape.length === array.dims.length &&
      shape.every((size, axis) => typeof size === 'string' || size === array.dims[axis]));
  if (!fits) {
    throw new UserError(
      'input-shape-mismatch',
      say`It is ${describeArray(array)}, but the model expects [${shape.join(', ')}].`,
      {
        ...place,
        remedy: say`Save it in the shape that the model expects.`,
      },
    );
  }
}

function checkFinite(array: NumericArray, place: ErrorPlace): void {
  const { dtype, data, dims } = array;
  for (let i = 0; isFloat(dtype) && i < data.length; i++) {
    const value = numberAt(array, i);
    if (!Number.isFinite(value)) {
      throw new UserError(
        'input-not-finite',
        say`The value at [${position(i, dims).join(', ')}] is ${value}.`,
        {
          ...place,
          remedy: say`Leave out or fix examples with values that are not finite.`,
        },
      );
    }
  }
}

/** Index along each axis of a flat index. */
function position(index: number, dims: readonly number[]): number[] {
  let rest = index;
  return dims
    .toReversed()
    .map((size) => {
      const along = rest % size;
      rest = Math.floor(rest / size);
      return along;
    })
    .reverse();
}

function convert(array: NumericArray, dtype: string, place: ErrorPlace): NumericArray {
  if (array.dtype === dtype) {
    return array;
  }
  const fault = (code: ErrorCode, problem: Message): UserError =>
    new UserError(code, problem, {
      ...place,
      remedy: say`Save the array in the shape that the model expects: ${dtype}.`,
    });
  if (!isArrayDType(dtype)) {
    throw new UserError(
      'input-dtype-unsupported',
      say`Values of dtype ${dtype} are not supported.`,
      {
        ...place,
        remedy: say`Export the model with this input in float32 or int64.`,
      },
    );
  }
  if (isFloat(array.dtype) && !isFloat(dtype)) {
    throw fault(
      'input-has-fractions',
      say`It contains fractions (${array.dtype}), but the model expects ${dtype}.`,
    );
  }
  const { dims, data } = array;
  const converted = {
    dtype,
    dims,
    data: fillArray(dtype, data.length, (i) => numberAt(array, i)),
  };
  for (let i = 0; i < data.length; i++) {
    const value = numberAt(array, i);
    const stored = numberAt(converted, i);
    const holds = isFloat(array.dtype)
      ? Number.isFinite(stored)
      : stored === value &&
        Number.isSafeInteger(value) &&
        (dtype !== 'BOOL' || value === 0 || value === 1);
    if (!holds) {
      throw fault('input-out-of-range', say`The value ${value} is out of range for ${dtype}.`);
    }
  }
  return converted;
}
