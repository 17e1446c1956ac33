import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openModel } from '../../../extension/core/models/open-model';
import { describeQuantization } from '../../../extension/core/models/quantized/quantization';
import type { UserError } from '../../../extension/core/user-error';
import { hashes, computeLogits, prune, readConfig, rejection } from '../export/pruning';
import { writeSafetensorsFile } from '../checkpoints/safetensors-file';
import { relativeError } from '../fixtures';
import {
  copyWithFields,
  inspectedOnly,
  quantizedCases,
  quantizedFixture,
  quantizedGolden,
} from '../quantized-fixtures';
import { temporaryFolder } from '../temporary-folder';
import { inEnglish } from '../../../extension/core/message';

const root = temporaryFolder();
let copies = 0;

/** A copy of a fixture with these fields of `quantization_config`, or without it. */
function withFields(name: string, fields: Readonly<Record<string, unknown>> | undefined): string {
  return copyWithFields(name, fields, join(root, `${copies++}`));
}

/** A copy of a fixture with parts of the weights' header replaced by others as long. */
function withHeader(name: string, from: string, to: string): string {
  const folder = withFields(name, {});
  const path = join(folder, 'model.safetensors');
  const bytes = readFileSync(path);
  const end = 8 + Number(bytes.readBigUInt64LE());
  const header = bytes.toString('latin1', 8, end).replace(from, to);
  expect(header.length).toBe(end - 8);
  bytes.write(header, 8, 'latin1');
  writeFileSync(path, bytes);
  return folder;
}

type Layer = Readonly<Record<string, readonly [dtype: string, shape: readonly number[]]>>;

/** A checkpoint like that of a fixture, one block of zeros, whose linear layers hold `layer(out, in)`. */
function zeros(
  name: string,
  fields: Readonly<Record<string, unknown>>,
  layer: (out: number, input: number) => Layer,
): string {
  const folder = withFields(name, fields);
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as object;
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, num_hidden_layers: 1 }));
  const linears: readonly [string, number, number][] = [
    ['self_attn.q_proj', 64, 64],
    ['self_attn.k_proj', 32, 64],
    ['self_attn.v_proj', 32, 64],
    ['self_attn.o_proj', 64, 64],
    ['mlp.gate_proj', 96, 64],
    ['mlp.up_proj', 96, 64],
    ['mlp.down_proj', 64, 96],
  ];
  const tensors: Layer = {
    'lm_head.weight': ['F16', [64, 64]],
    'model.embed_tokens.weight': ['F16', [64, 64]],
    'model.norm.weight': ['F16', [64]],
    'model.layers.0.input_layernorm.weight': ['F16', [64]],
    'model.layers.0.post_attention_layernorm.weight': ['F16', [64]],
    ...Object.fromEntries(
      linears.flatMap(([linear, out, input]) =>
        Object.entries(layer(out, input)).map(([part, tensor]) => [
          `model.layers.0.${linear}.${part}`,
          tensor,
        ]),
      ),
    ),
  };
  let end = 0;
  const header = Object.fromEntries(
    Object.entries(tensors).map(([key, [dtype, shape]]) => {
      const begin = end;
      end += shape.reduce((product, size) => product * size, dtype === 'F16' ? 2 : 4);
      return [key, { dtype, shape, data_offsets: [begin, end] }];
    }),
  );
  writeSafetensorsFile(join(folder, 'model.safetensors'), header, end);
  return folder;
}

async function refusal(path: string): Promise<UserError> {
  return rejection(openModel(path));
}

describe('a quantized model', () => {
  it.each(quantizedCases)(
    '%s agrees with transformers on the dequantized weights',
    async (name) => {
      const { inputIds, logits } = quantizedGolden(name);
      const actual = await computeLogits(quantizedFixture(name), inputIds);
      expect(relativeError(actual, logits)).toBeLessThan(1e-5);
    },
  );

  it.each([
    ['gptq-4-act-order', 'gptq, 4 bits, groups of 32', 4, ['F16', 'I32']],
    ['gptq-8-v2', 'gptq (gptq_v2), 8 bits', 8, ['F16', 'I32']],
    ['gptq-3', 'gptq, 3 bits, groups of 32', 3, ['F16', 'I32']],
    ['gptq-2-no-index', 'gptq, 2 bits, groups of 32', 2, ['F16', 'I32']],
    ['awq', 'awq (gemm), 4 bits, groups of 32', 4, ['F16', 'I32']],
    ['awq-gemv', 'awq (gemv), 4 bits, groups of 32', 4, ['F16', 'I32']],
    ['bnb-nf4', 'bitsandbytes (nf4), 4 bits', 4, ['F16', 'F32', 'U8']],
    ['bnb-int8', 'bitsandbytes (int8), 8 bits', 8, ['F16', 'F32', 'I8', 'U8']],
    [
      'compressed-int4',
      'compressed-tensors (pack-quantized), 4 bits, groups of 32',
      4,
      ['F16', 'I32', 'I64'],
    ],
    ['compressed-int8', 'compressed-tensors (int-quantized), 8 bits', 8, ['F16', 'I8']],
    ['compressed-fp8', 'compressed-tensors (float-quantized), 8 bits', 8, ['F16', 'F8_E4M3']],
    [
      'compressed-nvfp4',
      'compressed-tensors (nvfp4-pack-quantized), 4 bits, groups of 16',
      4,
      ['F16', 'F32', 'F8_E4M3', 'U8'],
    ],
    ['fp8', 'fp8 (e4m3), 8 bits, blocks of 24 × 48', 8, ['F16', 'F32', 'F8_E4M3']],
    [
      'modelopt-nvfp4',
      'modelopt (NVFP4), 4 bits, groups of 16',
      4,
      ['F16', 'F32', 'F8_E4M3', 'U8'],
    ],
  ])(
    '%s is summarized with its logical parameters and stored bytes',
    async (name, text, bits, stored) => {
      const { summary } = await openModel(quantizedFixture(name));
      const { quantization, sublayers, warnings, dtypes, bytes } = summary;
      expect(quantization && describeQuantization(quantization)).toBe(`${text}, run as float32`);
      expect(quantization?.refusal).toBeUndefined();
      expect(warnings).toEqual([]);
      expect(Object.keys(dtypes).sort()).toEqual(stored);
      const [attention] = sublayers;
      const biases = name === 'gptq-8-v2' ? 128 : 0;
      const weights = 64 * (64 + 32 + 32 + 64);
      expect(attention?.parameters).toBe(weights + biases + 64);
      expect(attention?.flopsPerToken).toBe(2 * weights);
      const packedBytes = (weights * bits) / 8;
      expect(attention?.bytes).toBeGreaterThan(packedBytes);
      // AWQ's gemv fills its scales up to whole words.
      expect(attention?.bytes).toBeLessThan(packedBytes + (name === 'awq-gemv' ? 20_000 : 7000));
      const total = Object.values(dtypes).reduce((sum, value) => sum + value, 0);
      expect(bytes).toBe(total);
    },
  );

  it('counts experts stored as four-bit blocks in one tensor', async () => {
    const { summary } = await openModel(quantizedFixture('mxfp4'));
    const [, mixture] = summary.sublayers;
    const [weights, biases, router] = [4 * 3 * 32 * 64, 4 * (64 + 64), 4 * 65];
    expect(mixture?.parameters).toBe(weights + biases + router + 64);
    expect(mixture?.bytes).toBe(weights * (0.5 + 1 / 32) + 2 * (biases + router + 64));
    expect(summary.quantization).toMatchObject({ method: 'mxfp4', bits: 4, groupSize: 32 });
  });

  it('is refused with the field if its quantization is not described', async () => {
    expect((await refusal(withFields('awq', undefined))).message).toMatch(
      /quantization_config: The weights are quantized \(.*qweight\), but the field is missing.*quant_config\.json/,
    );
    expect((await refusal(withFields('awq', { quant_method: 'squeeze' }))).message).toMatch(
      /quant_method: .*unsupported method \(squeeze\).*original weights.*gptq, awq/,
    );
    expect((await refusal(withFields('gptq-8-v2', { is_marlin_format: true }))).message).toMatch(
      /qweight: Weights of gptq in the format marlin are not supported/,
    );
  });

  it.each([
    [
      'fp8',
      { weight_block_size: [32, 40] },
      /weight_scale_inv: Its shape \[\d, \d\] doesn't divide/,
    ],
    ['fp8', { weight_block_size: [0, 40] }, /weight_scale_inv: Its shape \[3, 2\] doesn't divide/],
    ['awq-gemv', { group_size: 40 }, /\d+ inputs can't be divided/],
  ])('is refused when blocks do not fit: %s %j', async (name, fields, message) => {
    expect((await refusal(withFields(name, fields))).message).toMatch(message);
  });

  it.each([
    [
      'bnb-nf4',
      'weight.quant_map":{"dtype":"F32"',
      'weight.quant_map":{"dtype":"I32"',
      /quant_map: It is I32 \[16\], expected F32/,
    ],
    [
      'compressed-int8',
      'weight_scale":{"dtype":"F16","shape":[64,1]',
      'weight_scale":{"dtype":"F16","shape":[32,2]',
      /weight_scale: Its shape \[32, 2\] doesn't divide/,
    ],
  ])('is refused when tables or scales do not fit: %s', async (name, from, to, message) => {
    expect((await refusal(withHeader(name, from, to))).message).toMatch(message);
  });

  it('is not run if it has more words than its bits fill', async () => {
    const group = { weights: { num_bits: 2, type: 'int' }, targets: ['Linear'] };
    const model = await openModel(withFields('compressed-int3', { config_groups: { all: group } }));
    expect(() => {
      model.requireRunnable();
    }).toFailWith({
      code: 'dtype-not-runnable',
      file: 'model.safetensors',
      field: 'model.layers.0.self_attn.q_proj.weight',
    });
  });

  it('of bitsandbytes in the order of tensor cores is not run', async () => {
    const folder = withFields('bnb-int8', {});
    const path = join(folder, 'model.safetensors');
    const bytes = readFileSync(path);
    const end = 8 + Number(bytes.readBigUInt64LE());
    const header = JSON.parse(bytes.toString('latin1', 8, end)) as Readonly<
      Record<string, { data_offsets: readonly [number, number] }>
    >;
    const name = 'model.layers.0.self_attn.q_proj.weight_format';
    bytes[end + (header[name]?.data_offsets[0] ?? 0)] = 1;
    writeFileSync(path, bytes);
    const model = await openModel(folder);
    expect(() => {
      model.requireRunnable();
    }).toFailWith({
      code: 'dtype-not-runnable',
      file: 'model.safetensors',
      field: 'model.layers.0.self_attn.q_proj.weight',
    });
  });

  it.each([
    ['q_proj.qzeros', 'q_proj.qzerox', /q_proj\.\w+: The layer has no qzeros/],
    ['q_proj.g_idx":{"dtype":"I32"', 'q_proj.g_idx":{"dtype":"F32"', /g_idx: It is F32 \[64\]/],
  ])('is refused when its tensors do not fit: %s', async (from, to, message) => {
    expect((await refusal(withHeader('gptq-4-act-order', from, to))).message).toMatch(message);
  });
});

describe('a form that is inspected only', () => {
  const older = (): string => inspectedOnly(join(root, `${copies++}`));

  const inspected: readonly [name: string, path: string, text: string, dtypes: string[]][] = [
    [
      'compressed-tensors in an older form',
      older(),
      'compressed-tensors (marlin-24), 4 bits, groups of 32',
      ['F16', 'I32', 'I64'],
    ],
    [
      'gptq of 5 bits',
      zeros('gptq-4-act-order', { bits: 5 }, (out, input) => ({
        qweight: ['I32', [(input * 5) / 32, out]],
        qzeros: ['I32', [input / 32, (out * 5) / 32]],
        scales: ['F16', [input / 32, out]],
        g_idx: ['I32', [input]],
      })),
      'gptq, 5 bits, groups of 32',
      ['F16', 'I32'],
    ],
  ];

  it.each(inspected)(
    '%s is listed, and refused with the fix when run',
    async (_, path, text, dtypes) => {
      const model = await openModel(path);
      const { quantization, sublayers, warnings } = model.summary;
      expect(quantization && describeQuantization(quantization)).toBe(`${text}, inspection only`);
      expect(Object.keys(model.summary.dtypes).sort()).toEqual(dtypes);
      expect(sublayers.slice(0, 2).map(({ parameters }) => parameters)).toEqual([
        64 * (64 + 32 + 32 + 64) + 64,
        3 * 64 * 96 + 64,
      ]);
      expect(warnings.map(inEnglish)).toEqual([
        expect.stringMatching(/can be inspected, but not run/),
      ]);
      expect(() => {
        model.requireRunnable();
      }).toFailWith({
        ...{ code: 'quantization-not-runnable', file: path, field: 'quantization_config' },
      });
    },
  );

  it.each([
    [
      { sparsity_config: { format: 'sparse-24-bitmask' } },
      {
        code: 'quantization-not-runnable' as const,
        file: expect.any(String) as unknown,
        field: 'quantization_config',
      },
    ],
    [
      { transform_config: { config_groups: { R1: {} } } },
      {
        code: 'quantization-not-runnable' as const,
        file: expect.any(String) as unknown,
        field: 'quantization_config',
      },
    ],
  ])('%j is refused when run', async (fields, why) => {
    const model = await openModel(withFields('compressed-int4', fields));
    expect(() => {
      model.requireRunnable();
    }).toFailWith(why);
  });

  it.each([
    { sparsity_config: { format: 'dense' }, transform_config: {} },
    { sparsity_config: {}, transform_config: { config_groups: {} } },
  ])('%j runs', async (fields) => {
    const model = await openModel(withFields('compressed-int4', fields));
    expect(() => {
      model.requireRunnable();
    }).not.toThrow();
  });

  it('is not pruned, and leaves no files', async () => {
    const out = join(root, 'refused');
    const error = await rejection(prune(older(), ['block.0.attention'], out));
    expect(error.message).toMatch(/quantization_config: Weights quantized by compressed-tensors/);
    expect(existsSync(out)).toBe(false);
  });
});

describe('pruning a quantized model', () => {
  it.each(quantizedCases)(
    '%s copies the packed tensors, whole blocks or sublayers',
    async (name) => {
      const source = quantizedFixture(name);
      const { inputIds } = quantizedGolden(name);
      const before = hashes(source);
      const { sublayers } = (await openModel(source)).summary;
      const [first = '', second = '', , last = ''] = sublayers.map(({ id }) => id);
      for (const removed of [
        [first, second],
        [first, last],
      ]) {
        const out = join(root, `${copies++}`);
        const result = await prune(source, removed, out);
        expect(result.verification.relativeError).toBeLessThan(1e-6);
        const { summary } = await openModel(out);
        expect(summary.parameters).toBe(result.parametersAfter);
        expect(summary.quantization?.bits).toBe(
          (await openModel(source)).summary.quantization?.bits,
        );
        expect(summary.warnings).toEqual([]);
        const expected = await computeLogits(source, inputIds, removed);
        expect(relativeError(await computeLogits(out, inputIds), expected)).toBeLessThan(1e-6);
      }
      expect(hashes(source)).toEqual(before);
    },
  );

  it('removes single experts from four-bit blocks', async () => {
    const source = quantizedFixture('mxfp4');
    const out = join(root, `${copies++}`);
    const removed = ['block.1.expert.2'];
    const { verification } = await prune(source, removed, out);
    expect(verification.relativeError).toBeLessThan(1e-6);
    const { inputIds } = quantizedGolden('mxfp4');
    const expected = await computeLogits(source, inputIds, removed);
    expect(relativeError(await computeLogits(out, inputIds), expected)).toBeLessThan(1e-6);
  });

  it('renumbers the blocks that quantization_config names', async () => {
    const out = join(root, `${copies++}`);
    await prune(quantizedFixture('awq'), ['block.0.attention', 'block.0.feedforward'], out);
    expect(readConfig(out)).toMatchObject({
      quantization_config: { modules_to_not_convert: ['model.layers.0.mlp', 'lm_head'] },
    });
  });

  it('renumbers the blocks that groups of layers name', async () => {
    const targets = ['model.layers.0.mlp.up_proj', 'model.layers.1.mlp.up_proj', 'Linear'];
    const group = { weights: { num_bits: 8, type: 'int' }, targets };
    const folder = withFields('compressed-int8', { config_groups: { all: group } });
    const out = join(root, `${copies++}`);
    await prune(folder, ['block.0.attention', 'block.0.feedforward'], out);
    const remaining = ['model.layers.0.mlp.up_proj', 'Linear'];
    expect(readConfig(out)).toMatchObject({
      quantization_config: { config_groups: { all: { targets: remaining } } },
    });
  });

  it('is refused if patterns name blocks by number', async () => {
    const ignore = ['lm_head', 're:.*layers\\.(0|1)\\.mlp.*'];
    const folder = withFields('compressed-int8', { ignore });
    const removed = ['block.0.attention', 'block.0.feedforward'];
    const error = await rejection(prune(folder, removed, join(root, 'patterns')));
    expect(error.message).toMatch(/config\.json: quantization_config\.ignore: .*by number/);
  });

  it('is refused if rules of GPTQModel name blocks by number', async () => {
    const folder = withFields('gptq-8-v2', { dynamic: { '+:.*\\.1\\..*': { bits: 8 } } });
    const removed = ['block.0.attention', 'block.0.feedforward'];
    const error = await rejection(prune(folder, removed, join(root, 'dynamic')));
    expect(error.message).toMatch(/config\.json: quantization_config\.dynamic: .*by number/);
  });

  it.each(['gptq-4-act-order', 'awq', 'fp8', 'mxfp4'])(
    '%s as ONNX keeps the numbers packed',
    async (name) => {
      const out = join(root, `${copies++}`);
      const result = await prune(quantizedFixture(name), ['block.0.attention'], out, {
        format: 'onnx',
      });
      expect(result.verification.relativeError).toBeLessThan(1e-4);
      const data = result.files.find((file) => file.name === 'model.onnx_data');
      expect(data?.bytes).toBeGreaterThan(0);
      expect(data?.bytes).toBeLessThan(result.bytesBefore);
    },
  );
});
