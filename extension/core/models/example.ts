import { elementCount } from '../checkpoints/lazy-tensor';
import { fillArray, isArrayDType } from '../checkpoints/numeric-array';
import type { Dimension } from '../onnx/graph-builder';
import { UserError } from '../user-error';
import type { InputPort, LayeredModel } from './layered-model';
import { AnsweredIds } from './model-input';
import type { Example, ExampleValue, ModelInput } from './model-input';
import { parseCachePort } from './onnx/stream/cache-ports';
import type { CachePort } from './onnx/stream/cache-ports';
import { say } from '../message';

/** The token ids of an input that is a text. */
export function inputIds(input: ModelInput): Int32Array {
  if (input instanceof Int32Array) {
    return input;
  }
  throw new Error('a language model is run on token ids');
}

/** Token ids of a decoder's or encoder's text, by the name of the input. */
const idNames = /^(?:decoder_)?input_ids$/;

/** The input that takes token ids, if the model reads text. */
export function idsPort(ports: readonly InputPort[]): InputPort | undefined {
  return ports.find(({ name, dtype }) => idNames.test(name) && /^I(?:32|64)$/.test(dtype));
}

const targetIds = 'decoder_input_ids';

/** Inputs of a model. */
export type ReadingModel = Pick<LayeredModel, 'inputs'>;

/** First id of every target, if a text is read as source and target. */
export const targetStartId = ({ inputs }: ReadingModel): number | undefined =>
  inputs.find(({ targetStart }) => targetStart !== undefined)?.targetStart;

/** Input for token ids, or undefined if the model also needs an input that text can't fill. */
export function textPort({ inputs }: ReadingModel): InputPort | undefined {
  const port = idsPort(inputs);
  return port === undefined ||
    inputs.every(
      (other) => other === port || isDerivedInput(other) || other.targetStart !== undefined,
    )
    ? port
    : undefined;
}

/**
 * Index of the first target token of an encoder–decoder model: the start of the answer, or half of
 * the text.
 */
const targetFrom = (ids: Int32Array): number =>
  ids instanceof AnsweredIds ? ids.answerFrom : Math.ceil(ids.length / 2);

/** True for speech-to-text models, whose examples are recordings with transcripts. */
export const takesRecordings = ({ inputs }: Pick<LayeredModel, 'inputs'>): boolean =>
  inputs.some(({ transcript }) => transcript !== undefined);

/** Target ids of the output's rows, from the first row. The last row has no target. */
export function predictedIds(model: ReadingModel, input: ModelInput): Int32Array {
  if (input instanceof Int32Array) {
    return input.subarray(targetStartId(model) === undefined ? 1 : targetFrom(input));
  }
  return Int32Array.from(input[targetIds]?.data ?? [], Number).subarray(1);
}

/** Inputs of a model that are made of token ids: one text, or source and target, see {@link predictedIds}. */
export function readIds(model: ReadingModel, ids: Int32Array, file: string): Example {
  const start = targetStartId(model);
  return start === undefined
    ? tokenExample(model.inputs, ids, file)
    : sourceAndTarget(model.inputs, start, ids, file);
}

/** Splits ids into source and target. The decoder's start token is prepended to the target. */
function sourceAndTarget(
  inputs: readonly InputPort[],
  targetStart: number,
  ids: Int32Array,
  file: string,
): Example {
  const end = targetFrom(ids);
  const given = [targetStart, ...ids.subarray(end)];
  const source = inputs.filter(({ name }) => name !== targetIds);
  const example = tokenExample(source, Int32Array.from(ids.subarray(0, end)), file);
  return {
    ...example,
    [targetIds]: { dtype: 'I64', dims: [1, given.length], data: BigInt64Array.from(given, BigInt) },
  };
}

/**
 * Inputs of a model that reads one text: the ids, and defaults for its other inputs: all tokens
 * attended, positions from 0, one segment, an empty KV cache.
 * @throws UserError naming an input that cannot be filled.
 */
export function tokenExample(ports: readonly InputPort[], ids: Int32Array, file: string): Example {
  const example: Record<string, ExampleValue> = {};
  const taker = idsPort(ports)?.name;
  for (const port of ports) {
    const isTaker = port.name === taker;
    const dims = port.shape?.length === 1 ? [ids.length] : [1, ids.length];
    const value = isTaker ? numbers(port.dtype, dims, ids) : derivedInput(port, 1, ids.length);
    if (value === undefined) {
      throw new UserError(
        'inputs-not-from-text',
        say`The input ${port.name} can't be created from text.`,
        {
          file,
          field: port.name,
          remedy: say`Choose examples of all inputs in a .npz file.`,
        },
      );
    }
    example[port.name] = value;
  }
  return example;
}

/** Values of an input that follows from the length of the text. */
function defaultValues({ name }: InputPort, length: number): number[] | undefined {
  if (/(?:^|_)attention_mask$/.test(name)) {
    return Array.from({ length }, () => 1);
  }
  if (/(?:^|_)position_ids$/.test(name)) {
    return Array.from({ length }, (_, position) => position);
  }
  return /(?:^|_)token_type_ids$/.test(name) ? Array.from({ length }, () => 0) : undefined;
}

/** Initial cache value: empty keys and values, or a zero state. */
export function emptyCache({ dtype, sizes }: CachePort, batch = 1): ExampleValue {
  const dims = sizes.map((size) => (size === 'batch' ? batch : size === 'positions' ? 0 : size));
  const count = elementCount(dims);
  return { dtype, dims, data: dtype === 'F16' ? new Uint16Array(count) : new Float32Array(count) };
}

/** Inputs of one number that switch something on, with what switches it off. */
const switches = /^(?:use_cache_branch|(?:num_)?logits_to_keep)$/;

/** Value of an optional switch that keeps the graph's default behavior; undefined for other inputs. */
export function switchedOff({ name, dtype, shape }: InputPort): ExampleValue | undefined {
  return switches.test(name) && shape?.every((size) => size === 1) === true
    ? numbers(dtype, [...shape] as number[], [0])
    : undefined;
}

/** True if the values of an input can be derived from other inputs. */
export function isDerivedInput(port: InputPort): boolean {
  return derivedInput(port, 1, 1) !== undefined;
}

/**
 * The values of an input that follow from the size of the others: everything is attended, positions
 * are counted, there is no earlier text.
 */
export function derivedInput(
  port: InputPort,
  batch: number,
  length: number,
): ExampleValue | undefined {
  const values = defaultValues(port, length);
  const rank = port.shape?.length ?? 2;
  if (values !== undefined && (rank === 1 || rank === 2)) {
    const rows = rank === 1 ? 1 : batch;
    const dims = rank === 1 ? [length] : [rows, length];
    return numbers(port.dtype, dims, Array.from({ length: rows }, () => values).flat());
  }
  const off = switchedOff(port);
  if (off !== undefined) {
    return off;
  }
  const cache = values === undefined ? parseCachePort(port) : undefined;
  return cache && emptyCache(cache);
}

function numbers(
  dtype: string,
  dims: readonly number[],
  values: ArrayLike<number>,
): ExampleValue | undefined {
  return isArrayDType(dtype)
    ? { dtype, dims, data: fillArray(dtype, values.length, (i) => values[i] ?? 0) }
    : undefined;
}

/** Exclusive upper bounds of integer inputs, by input name. */
export function vocabularyBounds({
  inputs,
  summary,
}: Pick<LayeredModel, 'inputs' | 'summary'>): Record<string, number> {
  const { vocabularySize } = summary;
  const ids = inputs.filter(({ name }) => name.endsWith('input_ids'));
  return {
    ...(vocabularySize === undefined
      ? {}
      : Object.fromEntries(ids.map(({ name }) => [name, vocabularySize]))),
    ...Object.fromEntries(
      inputs.flatMap(({ name, tableRows }) => (tableRows === undefined ? [] : [[name, tableRows]])),
    ),
  };
}

/** The one size that an axis can have, or undefined where any is possible. */
export function fixedSize(port: InputPort | undefined, axis: number): number | undefined {
  const size: Dimension | undefined = port?.shape?.[axis];
  return typeof size === 'number' ? size : undefined;
}
