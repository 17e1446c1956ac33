import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readGgufHeader } from '../../../extension/core/checkpoints/gguf';
import { compareModels } from '../../../extension/core/inspect/compare-models';
import { TensorReader } from '../../../extension/core/inspect/tensor-values';
import { unattended } from '../../../extension/core/jobs/job';
import { safetensorsBytes } from '../checkpoints/safetensors-file';
import { familyFixture, fixture } from '../fixtures';
import { ggufFixture } from '../gguf-fixtures';
import { temporaryFolder } from '../temporary-folder';
import { prune } from '../export/pruning';

const folder = temporaryFolder();

/** Names of a folder by those of a GGUF file, below a block and outside. */
const names: Readonly<Record<string, string>> = {
  attn_norm: 'input_layernorm',
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_output: 'self_attn.o_proj',
  ffn_norm: 'post_attention_layernorm',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
  token_embd: 'model.embed_tokens',
  output_norm: 'model.norm',
  output: 'lm_head',
};
const headSize = 16;

/** Rows of each head from [half, 2] to [2, half]. */
function untwisted(values: readonly number[], width: number): number[] {
  const rows = Array.from({ length: values.length / width }, (_, row) =>
    values.slice(row * width, (row + 1) * width),
  );
  const order = [0, 1].flatMap((part) =>
    Array.from({ length: headSize / 2 }, (_, i) => 2 * i + part),
  );
  return rows.flatMap((_, row) => {
    const head = row - (row % headSize);
    return rows[head + (order[row % headSize] ?? 0)] ?? [];
  });
}

/** The folder that a GGUF file was converted from, its weights as float32. */
async function makeFolder(gguf: string): Promise<string> {
  const { tensors } = await readGgufHeader(gguf);
  const path = join(folder, 'folder');
  mkdirSync(path);
  const header: Record<string, object> = {};
  const parts: Buffer[] = [];
  let end = 0;
  for (const { name, shape, length, dtype, file, offset } of tensors) {
    const place = { name, dtype, file, offset, shape, bytes: length };
    const values = await TensorReader.open(place, unattended.cancellation, async (reader) => {
      const all: number[] = [];
      for await (const chunk of reader.chunks()) {
        all.push(...chunk);
      }
      return all;
    });
    const [, block, part = ''] = /^(?:blk\.(\d+)\.)?(\w+)\.weight$/.exec(name) ?? [];
    const floats = /_[qk]$/.test(part) ? untwisted(values, shape[1] ?? 1) : values;
    const bytes = Buffer.from(Float32Array.from(floats).buffer);
    const tensorName = `${names[part] ?? ''}.weight`;
    header[block === undefined ? tensorName : `model.layers.${block}.${tensorName}`] = {
      dtype: 'F32',
      shape,
      data_offsets: [end, end + bytes.length],
    };
    parts.push(bytes);
    end += bytes.length;
  }
  const file = join(path, 'model.safetensors');
  writeFileSync(file, Buffer.concat([safetensorsBytes(header, 0), ...parts]));
  const config = {
    model_type: 'llama',
    architectures: ['LlamaForCausalLM'],
    hidden_size: 64,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    intermediate_size: 96,
    num_hidden_layers: 2,
    vocab_size: tensors.find(({ name }) => name === 'token_embd.weight')?.shape[0],
    max_position_embeddings: 64,
    rms_norm_eps: 1e-6,
    tie_word_embeddings: false,
  };
  writeFileSync(join(path, 'config.json'), JSON.stringify(config));
  return path;
}

it('finds the same weights in a GGUF file, the folder it was made from, and its ONNX export', async () => {
  const gguf = ggufFixture('llama.gguf');
  const source = await makeFolder(gguf);
  const onnx = join(folder, 'onnx');
  await prune(source, [], onnx, { format: 'onnx' });
  const compare = async (model: string, against: string) =>
    compareModels({ model, against, weights: true }, unattended);

  const { weights, tensors } = await compare(gguf, source);
  expect(tensors).toEqual({ model: [], against: [] });
  expect(weights?.skipped).toEqual([]);
  expect(weights?.tensors.map(({ name }) => name)).toContain(
    'model.layers.1.self_attn.k_proj.weight',
  );
  // float32 rounds the values of blocks with 16-bit scales.
  for (const { name, relativeFrobenius } of weights?.tensors ?? []) {
    expect(relativeFrobenius, name).toBeLessThan(1e-7);
  }
  expect(weights?.tensors).toHaveLength(21);

  const graph = await compare(gguf, onnx);
  expect(graph.tensors.model).toEqual([]);
  expect(graph.weights?.tensors).toEqual(weights?.tensors);
});

it.each([
  ['gpt-neox', fixture('gpt-neox'), []],
  ['bloom', familyFixture('bloom'), []],
  ['nemotron', familyFixture('nemotron'), []],
  ['falcon', fixture('falcon'), []],
  ['falcon-new', fixture('falcon-new'), []],
  ['falcon-new-one-norm', fixture('falcon-new-one-norm'), []],
  ['gpt2', fixture('gpt2'), ['blk.0.attn_output.weight', 'blk.0.attn_qkv.weight']],
])('finds reordered rows of %s, and reports transposed tensors', async (name, source, turned) => {
  const out = join(folder, name);
  await prune(source, [], out, { format: 'gguf' });
  const file = readdirSync(out).find((one) => one.endsWith('.gguf')) ?? '';
  const compared = await compareModels(
    { model: join(out, file), against: source, weights: true },
    unattended,
  );
  expect(compared.tensors.model.filter((one) => one.startsWith('blk.0.attn')).sort()).toEqual(
    turned,
  );
  expect(compared.weights?.tensors.length).toBeGreaterThan(5);
  for (const { name: tensor, relativeFrobenius } of compared.weights?.tensors ?? []) {
    expect(relativeFrobenius, tensor).toBeLessThan(1e-7);
  }
});

it('finds the MLP of a folder that has gate and up in one matrix', async () => {
  const source = familyFixture('granitemoehybrid-dense');
  const out = join(folder, 'granitehybrid');
  await prune(source, [], out, { format: 'gguf' });
  const file = readdirSync(out).find((one) => one.endsWith('.gguf')) ?? '';
  const { weights } = await compareModels(
    { model: join(out, file), against: source, weights: true },
    unattended,
  );
  const name = 'model.layers.0.shared_mlp.output_linear.weight';
  expect(weights?.tensors).toContainEqual(expect.objectContaining({ name, relativeFrobenius: 0 }));
});
