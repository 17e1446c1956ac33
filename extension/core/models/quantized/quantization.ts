import { UserError } from '../../user-error';
import type { ModelSummary, QuantizationSummary } from '../model-summary';
import { say } from '../../message';
import type { Message } from '../../message';

type Fields = Readonly<Record<string, unknown>>;

/** Parser for one quantization method's config.json fields. */
interface Method {
  /** Bits, group size and format from config.json. */
  readonly describe: (fields: Fields) => Omit<QuantizationSummary, 'method' | 'refusal'>;
  /** Supported bit widths and formats. */
  readonly runs: { readonly bits: readonly number[]; readonly forms: readonly string[] };
  /** Returns why a checkpoint can't run, even if its format and bit width are supported. */
  readonly refuses?: (fields: Fields) => Message | undefined;
}

/** Methods by `quant_method` of config.json. */
export const quantizationMethods: Readonly<Record<string, Method>> = {
  gptq: {
    describe: (fields) => ({
      form:
        fields['is_marlin_format'] === true
          ? 'marlin'
          : (text(fields['checkpoint_format']) ?? 'gptq'),
      ...sizes(fields['bits'], fields['group_size']),
      ...(fields['desc_act'] === true ? { byActivation: true } : {}),
    }),
    runs: { bits: [2, 3, 4, 8], forms: ['gptq', 'gptq_v2'] },
  },
  awq: {
    describe: (fields) => ({
      form: (text(fields['version']) ?? text(fields['format']) ?? 'gemm').toLowerCase(),
      ...sizes(fields['bits'] ?? fields['w_bit'], fields['group_size'] ?? fields['q_group_size']),
    }),
    runs: { bits: [4], forms: ['gemm', 'gemv'] },
  },
  bitsandbytes: {
    describe: (fields) =>
      fields['load_in_4bit'] === true
        ? { form: text(fields['bnb_4bit_quant_type']) ?? 'fp4', ...sizes(4, undefined) }
        : { form: 'int8', ...sizes(8, undefined) },
    runs: { bits: [4, 8], forms: ['nf4', 'fp4', 'int8'] },
  },
  'compressed-tensors': {
    describe: (fields) => {
      const weights = layerGroups(fields);
      return {
        form: text(fields['format']),
        ...sizes(only(weights, 'num_bits'), only(weights, 'group_size')),
        ...readBlock(only(weights, 'block_structure')),
      };
    },
    runs: {
      bits: [2, 3, 4, 5, 6, 7, 8],
      forms: [
        'pack-quantized',
        'int-quantized',
        'float-quantized',
        'naive-quantized',
        'nvfp4-pack-quantized',
        'mxfp4-pack-quantized',
        'mxfp8-quantized',
        'mixed-precision',
        'dense',
      ],
    },
    refuses: (fields) => {
      const sparsity = text(record(fields['sparsity_config'])['format']) ?? 'dense';
      if (sparsity !== 'dense') {
        return say`Sparse weights (sparsity_config: ${sparsity}) can be inspected, but not run.`;
      }
      const transforms = record(record(fields['transform_config'])['config_groups']);
      return Object.keys(transforms).length === 0
        ? undefined
        : say`Rotated weights (transform_config) can be inspected, but not run.`;
    },
  },
  fp8: {
    describe: (fields) => ({
      form: text(fields['fmt']) ?? 'e4m3',
      ...sizes(8, undefined),
      ...readBlock(fields['weight_block_size']),
    }),
    runs: { bits: [8], forms: ['e4m3', 'e5m2'] },
  },
  fbgemm_fp8: {
    describe: () => ({ form: 'e4m3', ...sizes(8, undefined) }),
    runs: { bits: [8], forms: ['e4m3'] },
  },
  mxfp4: {
    describe: () => ({ form: 'mxfp4', ...sizes(4, 32) }),
    runs: { bits: [4], forms: ['mxfp4'] },
  },
  modelopt: {
    describe: (fields) => {
      const weights = layerGroups(fields);
      return {
        form: text(fields['quant_algo']),
        ...sizes(only(weights, 'num_bits'), only(weights, 'group_size')),
      };
    },
    runs: { bits: [4, 8], forms: ['NVFP4', 'FP8'] },
  },
};

/** Weight quantization of each group of layers. */
function layerGroups(fields: Fields): Fields[] {
  return Object.values(record(fields['config_groups'])).map((group) =>
    record(record(group)['weights']),
  );
}

/**
 * Weight quantization described by `quantization_config`.
 * @throws UserError if the method is unknown.
 */
export function readQuantization(fields: Fields, file: string): QuantizationSummary {
  const name = text(fields['quant_method']);
  const method =
    name !== undefined && Object.hasOwn(quantizationMethods, name)
      ? quantizationMethods[name]
      : undefined;
  if (name === undefined || method === undefined) {
    throw new UserError(
      name === undefined ? 'quantization-method-missing' : 'quantization-method-unsupported',
      name === undefined
        ? say`The weights are quantized, but the method is not named.`
        : say`The weights are quantized by an unsupported method (${name}).`,
      {
        file,
        field: 'quantization_config.quant_method',
        remedy: say`${original} Supported: ${Object.keys(quantizationMethods).join(', ')}.`,
      },
    );
  }
  const described = { method: name, ...method.describe(fields) };
  const refusal = method.refuses?.(fields) ?? explainUnsupported(described, method);
  return refusal === undefined ? described : { ...described, refusal };
}

const original = say`Use the original weights in float32, float16 or bfloat16.`;

function explainUnsupported(described: QuantizationSummary, { runs }: Method): Message | undefined {
  const { method, form, bits } = described;
  if (form !== undefined && !runs.forms.includes(form)) {
    return say`Weights quantized by ${method} in the format ${form} can be inspected, but not run, only ${runs.forms.join(', ')}.`;
  }
  return bits === undefined || runs.bits.includes(bits)
    ? undefined
    : say`Weights quantized by ${method} to ${bits} bits can be inspected, but not run, only ${runs.bits.join(', ')}.`;
}

/** @throws UserError when the weights are quantized in a way that cannot be run. */
export function requireRunnableQuantization({ path, quantization }: ModelSummary): void {
  if (quantization?.refusal !== undefined) {
    throw new UserError('quantization-not-runnable', quantization.refusal, {
      file: path,
      field: 'quantization_config',
      remedy: original,
    });
  }
}

/** `gptq, 4 bits, groups of 128, run as float32` */
export function describeQuantization(quantization: QuantizationSummary): string {
  const { method, form, bits, groupSize, block, refusal } = quantization;
  return [
    form === undefined || form === method ? method : `${method} (${form})`,
    ...(bits === undefined ? [] : [`${bits} bits`]),
    ...(groupSize === undefined ? [] : [`groups of ${groupSize}`]),
    ...(block === undefined ? [] : [`blocks of ${block.join(' × ')}`]),
    refusal === undefined ? 'run as float32' : 'inspection only',
  ].join(', ');
}

/** A group of −1 is a whole row, which needs no telling. */
function sizes(bits: unknown, groupSize: unknown): { bits?: number; groupSize?: number } {
  return {
    ...(typeof bits === 'number' ? { bits } : {}),
    ...(typeof groupSize === 'number' && groupSize > 0 ? { groupSize } : {}),
  };
}

/** Sizes of matrix blocks that share a scale. */
function readBlock(value: unknown): { block?: readonly [rows: number, columns: number] } {
  const [rows, columns] = Array.isArray(value) ? (value as unknown[]) : [];
  return isSize(rows) && isSize(columns) ? { block: [rows, columns] } : {};
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) > 0;
}

/** The value of a field where all that have it agree. */
function only(records: readonly Fields[], field: string): unknown {
  const values = new Map(records.map((one) => [JSON.stringify(one[field]), one[field]]));
  const [value, ...others] = values.values();
  return others.length === 0 ? value : undefined;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function record(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}
