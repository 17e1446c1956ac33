import type { QuantizationSummary } from '../model-summary';
import { joinBitsAndBytes } from './packed-bits-and-bytes';
import type { Matrix, Parts } from './packed-parts';
import { joinBlocks, joinCompressed, joinExponents, joinStored } from './packed-scales';
import { joinAwq, joinGptq } from './packed-words';

/** How a method writes the matrix of a linear layer. */
interface Form {
  /** Layer and part of a tensor's name. */
  readonly name: RegExp;
  /** What is behind the layer's name in that of the matrix; `.weight` where absent. */
  readonly suffix?: string;
  /** What stands in for the matrix; undefined where the tensors are ordinary ones. */
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
export const packedForms: Readonly<Record<string, Form>> = {
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
