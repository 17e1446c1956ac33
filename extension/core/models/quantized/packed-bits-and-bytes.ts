import * as v from 'valibot';
import { floatDTypes } from '../../checkpoints/lazy-tensor';
import type { LazyTensor, PackedMatrix } from '../../checkpoints/lazy-tensor';
import { readBytes } from '../../checkpoints/read-tensor';
import { bytesTimes, expect, fault, floats, take } from './packed-parts';
import type { Matrix, Parts } from './packed-parts';
import { say } from '../../message';
import { parseJsonText } from '../../parse-json';

const maxStateBytes = 1 << 16;
const stateSchema = v.looseObject({
  shape: v.tuple([v.pipe(v.number(), v.safeInteger()), v.pipe(v.number(), v.safeInteger())]),
  blocksize: v.pipe(v.number(), v.safeInteger()),
  nested_blocksize: v.optional(v.pipe(v.number(), v.safeInteger())),
  nested_offset: v.optional(v.number()),
});

/** Four bits: two codes a byte, the sizes in a tensor of JSON. Eight: integers with a scale a row. */
export async function joinBitsAndBytes(parts: Parts): Promise<Matrix> {
  const numbers = parts.get('weight');
  const [, state] = [...parts].find(([part]) => part.includes('quant_state')) ?? [];
  if (numbers === undefined || state === undefined) {
    return parts.has('SCB') ? joinEightBit(parts) : undefined;
  }
  const sizes = parseState(state, await readBytes(state, maxStateBytes));
  const { shape, blocksize } = sizes;
  const count = shape[0] * shape[1];
  if (numbers.length * 2 !== count) {
    throw fault(
      numbers,
      'packed-count-mismatch',
      say`It has ${numbers.length * 2} numbers, expected ${count}.`,
    );
  }
  const block = [1, blocksize] as const;
  const times = { matrix: largestValue(parts, Math.ceil(count / blocksize), sizes), block };
  const codes = { bits: 4, order: 'high-first', values: take(parts, 'weight.quant_map') } as const;
  return { numbers, shape, packed: { shape: [1, count], tensor: numbers, codes, times } };
}

/** The largest number of each block, which may itself be quantized. */
function largestValue(
  parts: Parts,
  count: number,
  { nested_blocksize: nested, nested_offset: offset }: v.InferOutput<typeof stateSchema>,
): PackedMatrix {
  const tensor = take(parts, 'weight.absmax');
  expect(tensor, nested === undefined ? floatDTypes : ['U8'], [count]);
  const shape = [1, count] as const;
  if (nested === undefined) {
    return { shape, tensor };
  }
  const scales = take(parts, 'weight.nested_absmax');
  const blocks = Math.ceil(count / nested);
  expect(scales, floatDTypes, [blocks]);
  return {
    shape,
    tensor,
    codes: { bits: 8, order: 'columns', values: take(parts, 'weight.nested_quant_map') },
    times: { matrix: { shape: [1, blocks], tensor: scales }, block: [1, nested] },
    plus: offset ?? 0,
  };
}

function parseState(tensor: LazyTensor, bytes: Buffer): v.InferOutput<typeof stateSchema> {
  let state: unknown;
  try {
    state = parseJsonText(bytes.toString('utf8'));
  } catch {
    state = undefined;
  }
  const result = v.safeParse(stateSchema, state);
  if (!result.success) {
    throw fault(
      tensor,
      'packed-sizes-missing',
      say`It lacks the sizes of the weights and of their quantization blocks.`,
    );
  }
  return result.output;
}

const largestInteger = 127;
/** The other formats are for tensor cores. */
const rowByRow = 0;

async function joinEightBit(parts: Parts): Promise<Matrix> {
  const numbers = take(parts, 'weight');
  const format = parts.get('weight_format');
  if (format !== undefined && (await readBytes(format, 8)).some((byte) => byte !== rowByRow)) {
    return { numbers, shape: numbers.shape };
  }
  const scales = floats(take(parts, 'SCB'));
  return bytesTimes(numbers, { over: largestInteger, times: { matrix: scales } });
}
