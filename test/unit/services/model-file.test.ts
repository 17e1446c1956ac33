import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkChanges } from '../../../extension/core/export/changes';
import {
  describeGgufLoading,
  previewPrunedFile,
} from '../../../extension/core/export/preview-file';
import { openModel } from '../../../extension/core/models/open-model';
import {
  defaultPlanPath,
  defaultProfilePath,
} from '../../../extension/services/documents/documents';
import {
  isModelFile,
  modelPlaces,
  soleFolders,
} from '../../../extension/services/documents/model-file';
import { ggufFixture } from '../gguf-fixtures';
import { onnxFixture } from '../onnx-fixtures';
import { inEnglish } from '../../../extension/core/message';

describe('a model in one file', () => {
  it('is recognized by its suffix, and files next to it are named without that', () => {
    expect(['a.gguf', 'A.GGUF', 'b/model.onnx'].every(isModelFile)).toBe(true);
    expect(['a', 'a.safetensors', 'gguf', 'model.onnx_data'].some(isModelFile)).toBe(false);
    expect(defaultProfilePath(join('m', 'tiny.Q4_0.gguf'))).toBe(
      join('m', 'tiny.Q4_0.layerprofile.json'),
    );
    expect(defaultPlanPath(join('m', 'v1.5'))).toBe(join('m', 'v1.5.plan.json'));
  });

  it('is found among the files of a workspace, but not as another form of a folder', () => {
    const places = modelPlaces([
      '/w/b/model-00001-of-00002.safetensors',
      '/w/b/model-00002-of-00002.safetensors',
      '/w/b/model.onnx',
      '/w/b/b.gguf',
      '/w/c/onnx/model.onnx',
      '/w/a.gguf',
      '/w/synthesis/synthesis.gssnn.json',
      '/w/synthesis/best.onnx',
    ]);
    expect(places).toEqual({
      folders: ['/w/b'],
      files: ['/w/a.gguf', '/w/b/b.gguf', '/w/c/onnx/model.onnx'],
    });
  });

  it('is listed with its folder if no other model is there', () => {
    const models = [
      '/w/a.gguf',
      '/w/b',
      '/w/b/b.gguf',
      '/w/c/model.onnx',
      '/w/d/1.onnx',
      '/w/d/2.onnx',
    ];
    expect([...soleFolders(models)]).toEqual([
      ['/w/a.gguf', '/w'],
      ['/w/c/model.onnx', '/w/c'],
    ]);
  });

  it('shows the effect of a removal, or why it is impossible', async () => {
    const { summary } = await openModel(ggufFixture('llama.gguf'));
    const block = ['block.1.attention', 'block.1.feedforward'];
    const { loadsWith, ...changed } = previewPrunedFile(block, summary);
    expect(changed).toEqual({
      before: 'general.architecture = llama\nblock_count = 2\n',
      after: 'general.architecture = llama\nblock_count = 1\n',
    });
    expect(inEnglish(loadsWith)).toBe(
      'llama.cpp and tools built on it: llama.gguf, a standard model of 1 block.',
    );
    expect(previewPrunedFile(['block.1.attention'], summary)).toMatchObject({
      after: 'general.architecture = deci\nblock_count = 2\n',
    });
    expect(() => previewPrunedFile(['block.1.feedforward'], summary)).toThrow(
      /block\.1\.feedforward can't be removed alone/,
    );
    // A pruned width that differs between blocks needs a deci model, with all sublayers.
    const whole = describeGgufLoading('a.gguf', checkChanges(summary, []), true);
    expect(inEnglish(whole)).toMatch(/: a\.gguf, a deci model of 2 blocks\.$/);
    const less = describeGgufLoading('a.gguf', checkChanges(summary, block.slice(0, 1)), true);
    expect(inEnglish(less)).toMatch(/a deci model of 2 blocks without 1 sublayer\.$/);
    const onnx = (await openModel(onnxFixture('gpt2-legacy'))).summary;
    const [first] = onnx.sublayers;
    const preview = previewPrunedFile(first === undefined ? [] : [first.id], onnx);
    expect(inEnglish(preview.loadsWith)).toMatch(
      /^ONNX Runtime: model\.onnx with model\.onnx_data/,
    );
    expect(preview.after).toBe(preview.before);
  });
});
