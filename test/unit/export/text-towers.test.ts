import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readGgufHeader } from '../../../extension/core/checkpoints/gguf';
import { openSafetensors } from '../../../extension/core/checkpoints/safetensors';
import { layOutChanges } from '../../../extension/core/export/changes';
import { modelingFile } from '../../../extension/core/export/hugging-face/modeling-file';
import { previewPrunedConfig } from '../../../extension/core/export/preview-file';
import { explainNoModelingFile } from '../../../extension/core/export/hugging-face/why-no-modeling-file';
import type { Refusal } from '../../../extension/core/models/capability';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import { decoderIn, parsedSource } from '../config-source';
import { familyFixture, fixture, relativeError } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';
import { computeLogits, prune, readConfig, rejection } from './pruning';
import { inEnglish } from '../../../extension/core/message';

const folder = temporaryFolder();
const gemma = familyFixture('gemma3');
const removed = ['block.0.attention', 'block.3.feedforward'];
const rows = [[3, 14, 15, 9, 26, 5, 35, 8]];

async function namesIn(path: string): Promise<string[]> {
  const { tensors } = await openSafetensors(join(path, 'model.safetensors'));
  return [...tensors.keys()];
}

/** A copy of the fixture with other fields in its config.json. */
function withFields(name: string, fields: Readonly<Record<string, unknown>>): string {
  const copy = join(folder, name);
  cpSync(gemma, copy, { recursive: true });
  writeFileSync(join(copy, 'config.json'), JSON.stringify({ ...readConfig(gemma), ...fields }));
  return copy;
}

describe('single sublayers of a text tower', () => {
  it('use a class of the whole model, whose other parts and names stay', async () => {
    const out = join(folder, 'pruned');
    const { layout, loadsWith } = await prune(gemma, removed, out);
    expect(layout).toBe('auto-map');
    expect(inEnglish(loadsWith)).toContain(
      'AutoModelForImageTextToText.from_pretrained(folder, trust_rem',
    );
    const model = 'modeling_espalier.EspalierGemma3ForConditionalGeneration';
    const before = readConfig(gemma);
    expect(readConfig(out)).toEqual({
      ...before,
      model_type: 'espalier-gemma3',
      architectures: ['EspalierGemma3ForConditionalGeneration'],
      auto_map: {
        AutoConfig: 'modeling_espalier.EspalierGemma3Config',
        AutoModelForImageTextToText: model,
        AutoModelForMultimodalLM: model,
        AutoModelForCausalLM: model,
      },
      espalier: { version: 1, removed },
    });
    const removedNames =
      /\.layers\.(?:0\.(?:self_attn|input_layernorm|post_attention_layernorm)|3\.(?:mlp|p\w+_feedforward_layernorm))\./;
    const names = await namesIn(gemma);
    const remaining = names.filter(
      (name) => !name.includes('language_model') || !removedNames.test(name),
    );
    expect(remaining.length).toBeLessThan(names.length);
    expect(await namesIn(out)).toEqual(remaining);
    expect(await computeLogits(out, rows)).toEqual(await computeLogits(gemma, rows, removed));
  });

  it('are taken out of the text tower, which has the configuration of its family', () => {
    const text = readFileSync(join(folder, 'pruned', 'modeling_espalier.py'), 'utf8');
    for (const line of [
      'from transformers import Gemma3ForConditionalGeneration, Gemma3TextConfig',
      'class EspalierGemma3TextConfig(Gemma3TextConfig):',
      'class EspalierGemma3Config(Gemma3ForConditionalGeneration.config_class):',
      'class EspalierGemma3ForConditionalGeneration(Gemma3ForConditionalGeneration):',
      'for block, layer in enumerate(tower.layers):',
      'layer.post_attention_layernorm = nn.Identity()',
    ]) {
      expect(text).toContain(line);
    }
    // transformers finds the class of the tower by this type.
    expect(text.match(/model_type = .*/g)).toEqual(['model_type = "espalier-gemma3"']);
  });

  it('leave a standard model once the rest of their blocks is removed', async () => {
    const out = join(folder, 'blocks');
    await prune(join(folder, 'pruned'), ['block.0.feedforward', 'block.3.attention'], out);
    const { model_type, architectures, auto_map, espalier } = readConfig(out);
    expect({ model_type, architectures, auto_map, espalier }).toEqual({
      model_type: 'gemma3',
      architectures: ['Gemma3ForConditionalGeneration'],
    });
    expect((await openModel(out)).summary.blocks).toBe(2);
  });

  it.each([
    ['unnamed', { architectures: undefined }, 'architectures'],
    ['foreign', { auto_map: { AutoModel: 'modeling_own.Own' } }, 'auto_map.AutoModel'],
  ])('are refused if the class of the whole model is %s', async (name, fields, field) => {
    const source = withFields(name, fields);
    const asked = prune(source, removed, join(folder, `${name}-out`), { layout: 'auto-map' });
    const { message } = await rejection(asked);
    expect(message).toContain('class');
    expect(message).toContain(field);
  });

  it('keep a dense embedding in gemma4, because transformers reads its rows', async () => {
    const { summary } = await openModelFiles(gemma);
    const { model_type, ...text } = readConfig(familyFixture('gemma4_text'));
    const config = {
      model_type: 'gemma4',
      architectures: ['Gemma4ForConditionalGeneration'],
      text_config: { ...text, model_type },
    };
    const spec = { kind: 'int8', inputScale: false } as const;
    const why = (place: string): Refusal | undefined =>
      explainNoModelingFile(parsedSource(JSON.stringify(config)), {
        ...layOutChanges(summary, []),
        compressed: { [place]: { [place]: spec } },
      });
    expect(why('embedding')).toMatchObject({ code: 'matrices-not-expressible' });
    expect(why('head')).toBeUndefined();
  });

  it('use the names of Qwen3-VL, whose text model has no class with a head', () => {
    const named = {
      model_type: 'qwen3_vl',
      architectures: ['Qwen3VLForConditionalGeneration'],
      text_config: { ...readConfig(fixture('qwen3')), model_type: 'qwen3_vl_text' },
    };
    const { architecture } = decoderIn(JSON.stringify(named), 'config.json');
    const text = modelingFile(architecture, named, { compressed: {}, patched: {}, widths: {} });
    expect(text).toContain('import Qwen3VLForConditionalGeneration, Qwen3VLTextConfig\n');
    expect(text).toContain('class EspalierQwen3VLTextConfig(Qwen3VLTextConfig):');
  });

  it.each(['qwen2_vl', 'qwen2_5_vl'])(
    'of %s are found if config.json mixes their fields with others',
    async (name) => {
      const source = familyFixture(name);
      const flat = join(folder, `${name}-flat`);
      cpSync(source, flat, { recursive: true });
      const { text_config: text, ...others } = readConfig(source);
      const { model_type: _, rope_parameters: rope, ...fields } = text as Record<string, object>;
      const scaling = { rope_scaling: { ...rope, type: 'mrope', rope_type: undefined } };
      writeFileSync(
        join(flat, 'config.json'),
        JSON.stringify({ ...fields, ...others, rope_theta: 10_000, ...scaling }),
      );
      expect(await computeLogits(flat, rows)).toEqual(await computeLogits(source, rows));
      const out = join(folder, `${name}-flat-pruned`);
      await prune(flat, ['block.0.attention', 'block.0.feedforward'], out);
      expect(readConfig(out)).toMatchObject({ num_hidden_layers: 1, model_type: name });
      expect(readConfig(out)).not.toHaveProperty('text_config');
      const single = join(folder, `${name}-flat-single`);
      const removedNames = ['block.1.attention'];
      expect(await prune(flat, removedNames, single)).toMatchObject({ layout: 'auto-map' });
      expect(await computeLogits(single, rows)).toEqual(
        await computeLogits(source, rows, removedNames),
      );
      const file = join(folder, `${name}-flat-gguf`);
      expect(await prune(flat, [], file, { format: 'gguf' })).toMatchObject({ format: 'gguf' });
    },
  );

  it.each([
    ['gemma3', 'gemma3'],
    ['qwen2_vl', 'qwen2vl'],
    ['qwen2_5_vl', 'qwen2vl'],
    ['qwen3_vl', 'qwen3vl'],
    ['glm4v', 'glm4'],
  ])('of %s are written as a GGUF file, alone', async (name, architecture) => {
    const out = join(folder, `${name}-gguf`);
    // As llama.cpp scales attentions.
    const { text_config: text } = readConfig(gemma) as { text_config: { head_dim: number } };
    const scaled = { text_config: { ...text, query_pre_attn_scalar: text.head_dim } };
    const source = name === 'gemma3' ? withFields('scaled', scaled) : familyFixture(name);
    const result = await prune(source, [], out, { format: 'gguf' });
    expect(result.verification.relativeError).toBeLessThan(1e-5);
    expect(inEnglish(result.loadsWith)).toContain('It contains only the text model.');
    const file = readdirSync(out).find((one) => one.endsWith('.gguf')) ?? '';
    const { metadata, tensors } = await readGgufHeader(join(out, file));
    expect(metadata.get('general.architecture')).toBe(architecture);
    expect(tensors.every((tensor) => /^(?:blk\.\d+|token_embd|output)/.test(tensor.name))).toBe(
      true,
    );
    const expected = await computeLogits(source, rows);
    const given = await computeLogits(join(out, file), rows);
    expect(relativeError(given, expected)).toBeLessThan(1e-5);
  });

  it.each([
    ['qwen2_vl', 'Qwen2VL'],
    ['qwen2_5_vl', 'Qwen2_5_VL'],
    ['glm4v', 'Glm4v'],
  ])('go by the names of %s', (type, family) => {
    const named = {
      model_type: type,
      architectures: [`${family}ForConditionalGeneration`],
      text_config: readConfig(familyFixture(type))['text_config'],
    };
    const { architecture } = decoderIn(JSON.stringify(named), 'config.json');
    const text = modelingFile(architecture, named, { compressed: {}, patched: {}, widths: {} });
    expect(text).toContain(`import ${family}ForConditionalGeneration, ${family}TextConfig\n`);
  });

  it('of a model without a head load as one without', async () => {
    const source = withFields('headless', { architectures: ['Gemma3Model'] });
    const model = await openModelFiles(source);
    const text = readFileSync(join(source, 'config.json'), 'utf8');
    const { loadsWith } = previewPrunedConfig(text, removed, model.summary);
    expect(inEnglish(loadsWith)).toContain('transformers: AutoModel.from_pretrained');
  });
});
