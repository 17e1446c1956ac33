import { elementCount, packedDType } from '../../checkpoints/lazy-tensor';
import type { Checkpoint, LazyTensor } from '../../checkpoints/lazy-tensor';
import type { QuantizationSummary } from '../model-summary';
import { requireFit } from './packed-parts';
import { joinBitsAndBytes } from './packed-bits-and-bytes';
import type { Matrix, Parts } from './packed-parts';
import { joinBlocks, joinCompressed, joinExponents, joinStored } from './packed-scales';
import { joinAwq, joinGptq } from './packed-words';

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
