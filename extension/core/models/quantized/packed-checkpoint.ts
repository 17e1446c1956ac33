import { elementCount, packedDType, floatDTypes } from '../../checkpoints/lazy-tensor';
import type { Checkpoint, LazyTensor, PackedMatrix } from '../../checkpoints/lazy-tensor';
import type { QuantizationSummary } from '../model-summary';
import { requireFit, bytesTimes, expect, fault, floats, take } from './packed-parts';
import type { Matrix, Parts } from './packed-parts';
import { joinBlocks, joinCompressed, joinExponents, joinStored } from './packed-scales';
import { joinAwq, joinGptq } from './packed-words';
import * as v from 'valibot';
import { readBytes } from '../../checkpoints/read-tensor';
import { say } from '../../message';
import { parseJsonText } from '../../parse-json';

/**
 * Checkpoint with one tensor `<layer>.weight` that replaces the tensors a quantization method
 * stores for a layer. Its shape is that of the unpacked weight.
 * @throws UserError naming a tensor that is missing or has the wrong shape.
 */
export async function joinPacked(
  checkpoint: Checkpoint,
  quantization: QuantizationSummary,
): Promise<Checkpoint> {
  const form = packedForms[quantization.method];
  if (form === undefined) {
    throw new Error(`no form for ${quantization.method}, which readQuantization refuses`);
  }
  const layers = new Map<string, Map<string, LazyTensor>>();
  const tensors = new Map<string, LazyTensor>();
  for (const [name, tensor] of checkpoint.tensors) {
    const [, layer, part] = form.name.exec(name) ?? [];
    if (layer === undefined || part === undefined) {
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
    const { numbers, shape, packed, isTransposed = false, sizes } = matrix;
    if (packed !== undefined && quantization.refusal === undefined) {
      requireFit(packed, elementCount(shape) / elementCount(packed.shape));
    }
    const name = `${layer}${form.suffix ?? '.weight'}`;
    const { file, offset } = numbers;
    const length = [...parts.values()].reduce((sum, part) => sum + part.length, 0);
    const place = { name, shape, file, offset, length };
    tensors.set(
      name,
      packed === undefined
        ? { ...place, dtype: numbers.dtype }
        : {
            ...place,
            dtype: packedDType,
            packed: { matrix: packed, isTransposed, ...(sizes && { sizes }) },
          },
    );
  }
  return { ...checkpoint, tensors };
}

/** Format in which a method stores the matrix of a linear layer. */
interface Form {
  /** Layer and part of a tensor's name. */
  readonly name: RegExp;
  /** Suffix of the matrix after the name of the layer; `.weight` if absent. */
  readonly suffix?: string;
  /** Packed tensor for the matrix; undefined if the tensors are plain. */
  readonly join: (parts: Parts, quantization: QuantizationSummary) => Promise<Matrix> | Matrix;
}

const scaled: Form = {
  name: /^(.+?)\.(weight|weight_scale(?:_inv|_2)?|[kv]_scale|input_scale|activation_scale|input_scale_ub)$/,
  join: joinStored,
};

/**
 * GPTQ as AutoGPTQ and GPTQModel store it (arXiv 2210.17323), AWQ as AutoAWQ does (2306.00978), the
 * others as bitsandbytes, compressed-tensors, ModelOpt and transformers do.
 */
const packedForms: Readonly<Record<string, Form>> = {
  gptq: { name: /^(.+?)\.(qweight|qzeros|scales|g_idx)$/, join: joinGptq },
  awq: { name: /^(.+?)\.(qweight|qzeros|scales)$/, join: joinAwq },
  bitsandbytes: {
    name: /^(.+?)\.(weight(?:\.(?:(?:nested_)?(?:absmax|quant_map)|quant_state\.bitsandbytes__\w+))?|SCB|weight_format)$/,
    join: joinBitsAndBytes,
  },
  'compressed-tensors': {
    name: /^(.+?)\.(weight|weight_(?:packed|shape|scale|zero_point|g_idx|global_scale)|(?:input|output)_(?:scale|zero_point|global_scale))$/,
    join: joinCompressed,
  },
  fp8: {
    name: /^(.+?)\.(scale|weight|weight_scale(?:_inv)?|input_scale|activation_scale)$/,
    join: joinExponents,
  },
  fbgemm_fp8: scaled,
  modelopt: scaled,
  mxfp4: { name: /^(.+)(_blocks|_scales)$/, suffix: '', join: joinBlocks },
};

const maxStateBytes = 1 << 16;
const stateSchema = v.looseObject({
  shape: v.tuple([v.pipe(v.number(), v.safeInteger()), v.pipe(v.number(), v.safeInteger())]),
  blocksize: v.pipe(v.number(), v.safeInteger()),
  nested_blocksize: v.optional(v.pipe(v.number(), v.safeInteger())),
  nested_offset: v.optional(v.number()),
});

/** Four bits: two codes a byte, the sizes in a tensor of JSON. Eight: integers with a scale a row. */
async function joinBitsAndBytes(parts: Parts): Promise<Matrix> {
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
