import { derivedInput, isDerivedInput } from '../../models/example';
import { createHash } from 'node:crypto';
import type { Example } from '../../models/model-input';
import type { InputPort } from '../../models/layered-model';
import { UserError } from '../../user-error';
import type { CalibrationSummary } from '../calibration';
import { choose, seededRandom } from '../random';
import { readExamples } from './example-files';
import type { GivenValues } from './given-examples';
import { positions } from './input-kinds';
import { randomExamples } from './random-examples';
import { counted, say } from '../../message';
import type { Message } from '../../message';
import type { ErrorCode } from '../../error-codes';
import type { ErrorPlace } from '../../user-error';
import {
  describeArray,
  fillArray,
  isArrayDType,
  isFloat,
  numberAt,
} from '../../checkpoints/numeric-array';
import type { NumericArray } from '../../checkpoints/numeric-array';

/** Source and number of examples for a model. */
export interface ExamplesRequest {
  /** A .npy or .npz file, or a folder of images, sounds or array files; random inputs by default. */
  readonly file?: string;
  /** Maximum number of examples. */
  readonly count: number;
  /** Number of examples to skip, which the same request without `after` uses. Possibly none remain. */
  readonly after?: number;
  /** Seed of the random selection and of random inputs. */
  readonly seed: number;
  /** Sequence length of random inputs. */
  readonly length?: number;
  /** Exclusive upper bounds of random integers by input name. */
  readonly bounds?: Readonly<Record<string, number>>;
}

/** Examples with values for all inputs of a model. */
export interface LoadedExamples {
  readonly examples: readonly Example[];
  /**
   * `length`: sequence length of the longest example, 1 without a sequence axis. `tokens`: total of all sequence
   * lengths. The fingerprint covers names, dtypes, shapes and bytes of all values.
   */
  readonly summary: CalibrationSummary;
  /** Warnings for the user. */
  readonly warnings: readonly Message[];
}

const defaultLength = 32;

/**
 * Loads examples of a model's inputs from files, or creates random ones. Missing masks, positions and caches are
 * derived from the other inputs, which are required.
 * @param modelFolder folder of the model, with preprocessor_config.json for image models
 * @throws UserError naming the file, the input and the fix.
 */
export async function loadExamples(
  request: ExamplesRequest,
  ports: readonly InputPort[],
  modelFolder: string,
): Promise<LoadedExamples> {
  const { file, count, after = 0, seed, length = defaultLength, bounds = {} } = request;
  for (const [field, size] of Object.entries({ count, length })) {
    if (!Number.isSafeInteger(size) || size < 1) {
      throw new UserError('integer-not-positive', say`${size} is not an integer of at least 1.`, {
        field,
        remedy: undefined,
      });
    }
  }
  const { given, warnings } =
    file === undefined
      ? randomExamples(ports, { count, after, seed, length, bounds }, modelFolder)
      : await fileExamples(file, request, ports, modelFolder);
  const examples = given.map((present) => complete(present, ports, file ?? modelFolder));
  const main = (
    ports.find(({ transcript }) => transcript !== undefined) ??
    ports.find((port) => !isDerivedInput(port))
  )?.name;
  const lengths = examples.map(({ [main ?? '']: value }) =>
    value === undefined ? 1 : positions(value),
  );
  return {
    examples,
    summary: {
      source: file ?? `random (seed ${seed})`,
      sequences: examples.length,
      length: lengths.reduce((most, size) => Math.max(most, size), 0),
      tokens: lengths.reduce((sum, size) => sum + size, 0),
      fingerprint: fingerprintExamples(examples),
    },
    warnings,
  };
}

async function fileExamples(
  file: string,
  { count, after = 0, seed }: ExamplesRequest,
  ports: readonly InputPort[],
  modelFolder: string,
): Promise<{ given: Example[]; warnings: readonly Message[] }> {
  const random = seededRandom(seed);
  const { examples, available, warnings } = await readExamples(
    file,
    (size) => choose(count, size, random, after),
    ports,
    modelFolder,
  );
  if (examples.length === 0 && after === 0) {
    throw new UserError('examples-missing', say`It contains no examples.`, {
      file,
      remedy: say`Choose another file or folder.`,
    });
  }
  const few =
    available < count && after === 0
      ? [say`${file} has ${counted(available, 'example')}; ${count} were requested.`]
      : [];
  return {
    given: examples.map((values) => fitAll(values, ports)),
    warnings: [...warnings, ...few],
  };
}

/** Converts the values of one example to the model's inputs. */
function fitAll(values: GivenValues, ports: readonly InputPort[]): Example {
  return Object.fromEntries(
    ports.flatMap((port) => {
      const value = values.get(port.name);
      return value === undefined ? [] : [[port.name, fitToPort(value.array, port, value.file)]];
    }),
  );
}

/** Adds inputs that can be derived from the given ones. */
function complete(present: Example, ports: readonly InputPort[], file: string): Example {
  const given = ports.filter(({ name }) => present[name] !== undefined);
  // Derived inputs get the length of the first input that isn't derived itself.
  const main = present[(given.find((port) => !isDerivedInput(port)) ?? given[0])?.name ?? ''];
  return Object.fromEntries(
    ports.map((port) => {
      const value =
        present[port.name] ??
        derivedInput(port, main?.dims[0] ?? 1, main === undefined ? 1 : positions(main));
      if (value === undefined) {
        throw new UserError('input-missing', say`This input of the model is missing.`, {
          file,
          field: port.name,
          remedy: say`Save all inputs with numpy.savez: one array for each, named after it.`,
        });
      }
      checkDims(value, port, { file, field: port.name });
      return [port.name, value];
    }),
  );
}

/** SHA-256 (hex) over names, dtypes, shapes and bytes of all values. */
export function fingerprintExamples(examples: readonly Example[]): string {
  const hash = createHash('sha256');
  for (const example of examples) {
    for (const [name, { dtype, dims, data }] of Object.entries(example).sort(([a], [b]) =>
      a < b ? -1 : 1,
    )) {
      hash.update(`${JSON.stringify(name)} ${dtype} [${dims.join(', ')}]\n`);
      hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    }
  }
  return hash.digest('hex');
}

/**
 * Checks that an array fits an input and converts its dtype if that only rounds fractions.
 * @throws UserError naming the file and the input.
 */
function fitToPort(array: NumericArray, port: InputPort, file: string): NumericArray {
  const place = { file, field: port.name };
  checkDims(array, port, place);
  checkFinite(array, place);
  return convert(array, port.dtype, place);
}

/** @throws UserError if an array's shape doesn't fit an input. */
function checkDims(
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
