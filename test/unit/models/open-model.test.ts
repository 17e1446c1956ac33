import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openModel } from '../../../extension/core/models/open-model';
import { UserError } from '../../../extension/core/user-error';
import { caseNames, familyFixture, fixture, readJson } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';
import { inEnglish } from '../../../extension/core/message';
import { randomRuns } from '../sample';

const root = temporaryFolder();
let copies = 0;

function copy(name: string): string {
  const folder = join(root, `${copies++}`);
  cpSync(fixture(name), folder, { recursive: true });
  return folder;
}

/** A copy of a fixture with these fields of config.json set, or taken out where undefined. */
function withConfig(name: string, changes: Readonly<Record<string, unknown>>): string {
  const folder = copy(name);
  const config = readJson<object>(name, 'config.json');
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, ...changes }));
  return folder;
}

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

/** A copy of a fixture with one entry of the weights' header renamed or rewritten. */
function withTensor(
  model: string,
  name: string,
  change: (entry: Entry) => readonly [string, Entry],
): string {
  const folder = copy(model);
  const path = join(folder, 'model.safetensors');
  const bytes = readFileSync(path);
  const end = 8 + Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.toString('utf8', 8, end)) as Record<string, Entry>;
  const entries = Object.entries(header).map(([key, entry]) =>
    key === name ? change(entry) : [key, entry],
  );
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(json.length));
  writeFileSync(path, Buffer.concat([size, json, bytes.subarray(end)]));
  return folder;
}

async function refusal(path: string): Promise<UserError> {
  const error: unknown = await openModel(path).then(
    () => new Error('the model was accepted'),
    (failure: unknown) => failure,
  );
  expect(error).toBeInstanceOf(UserError);
  return error as UserError;
}

describe('config.json', () => {
  it("may contain infinity in Python's notation", async () => {
    const folder = join(root, 'infinite');
    cpSync(familyFixture('nemotron_h'), folder, { recursive: true });
    const config = join(folder, 'config.json');
    const text = readFileSync(config, 'utf8');
    const python = text.replace(/\{\s*"__float__": "Infinity"\s*\}/, 'Infinity');
    expect(python).not.toBe(text);
    writeFileSync(config, python);
    expect((await openModel(folder)).summary.blocks).toBe(4);
  });

  it('of an unknown architecture is refused, with the fix', async () => {
    const folder = withConfig('llama-gqa-untied', { model_type: 'rwkv', hidden_size: 'n/a' });
    expect((await refusal(folder)).message).toBe(
      `${join(folder, 'config.json')}: model_type: Architecture "rwkv" is not supported. Try it as a known family (\`espalier try-family\`), or export it to ONNX. The page Models of the documentation lists what is supported.`,
    );
    const other = withConfig('llama-gqa-untied', { model_type: 'longcat_flash' });
    expect(await refusal(other)).toFailWith({
      code: 'architecture-unsupported',
      file: 'config.json',
      field: 'model_type',
    });
    const named = withConfig('llama-gqa-untied', { model_type: undefined });
    expect((await refusal(named)).subject).toMatchObject({ field: 'model_type' });
  });

  it.each([
    ['falcon-new', 'parallel_attn', false],
    ['gpt2', 'add_cross_attention', true],
    ['gemma2', 'use_bidirectional_attention', true],
  ])('of a form of %s that is not known is refused, naming %s', async (name, field, value) => {
    const folder = withConfig(name, { [field]: value });
    expect((await refusal(folder)).subject).toMatchObject({
      file: join(folder, 'config.json'),
      field,
    });
  });

  it('with a smaller embedding than its tensors is rejected, naming the tensor', async () => {
    const folder = withConfig('opt', { word_embed_proj_dim: 16 });
    expect(await refusal(folder)).toFailWith({
      code: 'shape-mismatch',
      file: 'model.safetensors',
      field: 'model.decoder.embed_tokens.weight',
    });
  });

  it('is asked for the names that its family uses', async () => {
    const folder = withConfig('gpt2', { n_layer: undefined });
    expect((await refusal(folder)).subject).toMatchObject({ field: 'n_layer' });
  });

  it.each([
    'vocab_size',
    'hidden_size',
    'num_hidden_layers',
    'num_attention_heads',
    'intermediate_size',
  ])('without %s is refused, naming it', async (field) => {
    const folder = withConfig('llama-gqa-untied', { [field]: undefined });
    expect((await refusal(folder)).subject).toMatchObject({
      file: join(folder, 'config.json'),
      field,
    });
  });

  it.each<[string, unknown]>([
    ['hidden_size', '48'],
    ['vocab_size', 0],
    ['num_attention_heads', 2.5],
    ['rms_norm_eps', '1e-6'],
    ['tie_word_embeddings', 'false'],
    ['num_key_value_heads', 3],
    ['hidden_act', 'swoosh'],
    ['rope_scaling', { rope_type: 'spiral', factor: 2 }],
    ['quantization_config', { quant_method: 'squeeze', bits: 4 }],
    ['quantization_config', {}],
  ])('with %s: %j is refused, naming the file and a field', async (field, value) => {
    const changes = { rope_parameters: undefined, [field]: value };
    const folder = withConfig('llama-gqa-untied', changes);
    const { subject, message } = await refusal(folder);
    expect(subject.file).toBe(join(folder, 'config.json'));
    expect(subject.field).toBeDefined();
    expect(message).toContain(subject.field);
  });

  it.each([
    ['{', /not JSON/],
    ['[]', /config\.json/],
    ['null', /config\.json/],
    ['"llama"', /config\.json/],
    ['', /not JSON/],
  ])('of %j is refused', async (text, message) => {
    const folder = copy('llama-gqa-untied');
    writeFileSync(join(folder, 'config.json'), text);
    const error = await refusal(folder);
    expect(error.message).toMatch(message);
    expect(error.subject.file).toBe(join(folder, 'config.json'));
  });

  it('that is a folder or no text is refused', async () => {
    const folder = copy('llama-gqa-untied');
    const config = join(folder, 'config.json');
    writeFileSync(config, Buffer.from([0x7b, 0xfe]));
    expect((await refusal(folder)).message).toBe(
      `${config}: The file is not UTF-8 text. Save it with the encoding UTF-8.`,
    );
    rmSync(config);
    mkdirSync(config);
    expect((await refusal(folder)).message).toBe(
      `${config}: This is not a regular file. Choose a file, not a folder, pipe or device.`,
    );
  });

  it('with any field replaced by anything opens, or is refused in words', async () => {
    const folder = copy('llama-gqa-untied');
    const change = fc.constantFrom(...caseNames).chain((name) => {
      const config = readJson<Record<string, unknown>>(name, 'config.json');
      return fc.record({
        name: fc.constant(name),
        config: fc.constant(config),
        field: fc.constantFrom(
          ...Object.keys(config),
          'rope_scaling',
          'rope_parameters',
          'espalier',
        ),
        value: fc.oneof(
          fc.constantFrom(undefined, null, -1, 0, 1, 1.5, 1e9, 1e308, '', 'x', true, false, [], {}),
          fc.record(
            {
              rope_type: fc.constantFrom(
                'llama3',
                'linear',
                'dynamic',
                'longrope',
                'yarn',
                'x',
                '',
              ),
              factor: fc.constantFrom(0, 2, -1),
            },
            { requiredKeys: [] },
          ),
          fc.record({ removed: fc.array(fc.constantFrom('block.0.attention', 'x')) }),
        ),
      });
    });
    await fc.assert(
      fc.asyncProperty(change, async ({ name, config, field, value }) => {
        cpSync(fixture(name), folder, { recursive: true });
        writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, [field]: value }));
        const result = await openModel(folder).catch((error: unknown) => error);
        if (result instanceof UserError) {
          expect(result.message).toContain(folder);
        } else {
          expect(result).toHaveProperty('summary');
        }
      }),
      { numRuns: randomRuns(400, 100) },
    );
  });
});

describe('weights', () => {
  it('that lack a tensor are refused, naming it', async () => {
    const name = 'model.layers.1.self_attn.k_proj.weight';
    const folder = withTensor('qwen2', name, (entry) => [`${name}.old`, entry]);
    expect((await refusal(folder)).message).toMatch(
      new RegExp(
        `model\\.safetensors: ${name}: The checkpoint lacks this tensor\\. The weights don't match the config`,
      ),
    );
  });

  it('of another shape than the config asks for are refused, naming both', async () => {
    const name = 'model.layers.0.mlp.up_proj.weight';
    const folder = withTensor('llama-gqa-untied', name, (entry) => [
      name,
      { ...entry, shape: [...entry.shape].reverse() },
    ]);
    expect((await refusal(folder)).message).toMatch(
      new RegExp(`${name}: It has shape \\[\\d+, \\d+\\], expected \\[\\d+, \\d+\\]`),
    );
  });

  it.each([1e9, 7])(
    'heads %d wide are refused before anything is made of that size',
    async (size) => {
      const folder = withConfig('llama-head-dim', { head_dim: size });
      expect(await refusal(folder)).toFailWith({
        code: 'rotary-size-invalid',
        file: 'config.json',
        field: 'head_dim',
      });
    },
  );

  it('of a dtype that cannot be run are listed, and refused by name when they are to run', async () => {
    const name = 'model.norm.weight';
    const folder = withTensor('llama-gqa-untied', name, (entry) => [
      name,
      { ...entry, dtype: 'I32' },
    ]);
    const model = await openModel(folder);
    expect(model.summary.dtypes).toHaveProperty('I32');
    expect(() => {
      model.requireRunnable();
    }).toThrow(
      /model\.norm\.weight: Weights of dtype I32 can be listed but not run\. Save the model in one of F32, F16, BF16/,
    );
  });

  it('that no part of the model uses are remarked on', async () => {
    const folder = withConfig('llama-gqa-untied', { num_hidden_layers: 3 });
    const { summary } = await openModel(folder);
    expect(summary.blocks).toBe(3);
    expect(summary.warnings.map(inEnglish)).toEqual([
      expect.stringMatching(
        /^9 tensors of the checkpoint are not used .*such as model\.layers\.3\./,
      ),
    ]);
  });

  it('cut short are refused', async () => {
    const folder = copy('llama-gqa-untied');
    const path = join(folder, 'model.safetensors');
    writeFileSync(path, readFileSync(path).subarray(0, -1));
    expect(await refusal(folder)).toFailWith({ code: 'file-truncated', file: 'model.safetensors' });
  });
});
