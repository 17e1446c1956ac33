import { mkdir, mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { formatRows, savingOnly } from '../../../extension/commands/questions/format-rows';
import { checkOutputs } from '../../../extension/core/export/output-options';
import { listOutputs } from '../../../extension/core/export/writable';
import { writeSource } from '../../../extension/core/export/write-source';
import { layOutChanges } from '../../../extension/core/export/changes';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { freeName } from '../../../extension/services/documents/free-name';
import { fixture } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';
import { inEnglish } from '../../../extension/core/message';

describe('a choice of format', () => {
  const rowsFor = async (...removed: string[]) => {
    const model = await openModelFiles(fixture('llama-gqa-untied'));
    const changes = layOutChanges(model.model.summary, removed);
    return formatRows(await checkOutputs(writeSource(model), changes));
  };

  it('recommends the default and one other format', async () => {
    const { recommended, others } = await rowsFor('block.1.attention');
    expect(recommended.map(({ format, layout }) => layout ?? format)).toEqual(['auto-map', 'onnx']);
    expect(others.map(({ layout }) => layout)).toContain('zeroed');
  });

  it('has no format as large as the original for a plan with limits', async () => {
    const opened = await openModelFiles(fixture('llama-gqa-untied'));
    const [layer] = opened.model.sublayer(0).linearLayers;
    const compress = [{ tensor: layer?.id ?? '', method: 'int8', setting: 32 } as const];
    const answers = await listOutputs(opened, { remove: [], compress });
    const able = (all: typeof answers) =>
      all.filter((answer) => answer.able).map(({ format, layout }) => layout ?? format);
    expect(able(answers)).toContain('dense');
    expect(able(savingOnly(answers))).toEqual(['auto-map', 'onnx']);
  });

  it('explains why the others are unavailable, without terms of the command line', async () => {
    for (const removed of [['block.1.attention'], ['block.1.attention', 'block.1.feedforward']]) {
      const { blocked } = await rowsFor(...removed);
      expect(blocked.length).toBeGreaterThan(1);
      for (const answer of blocked) {
        const reason = answer.able ? '' : inEnglish(answer.reason);
        expect(reason).not.toMatch(/--|auto-map|trust_remote_code|block_configs/);
        expect(reason).toMatch(/^\S.*\.$/);
      }
    }
  });
});

describe('a free name', () => {
  it('is the name, or the next that nothing has', async () => {
    const folder = await mkdtemp(join(temporaryFolder(), 'names-'));
    const name = join(folder, 'model-compressed');
    expect(await freeName(name)).toBe(name);
    await mkdir(name);
    expect(await freeName(name)).toBe(`${name}-2`);
    await mkdir(`${name}-2`);
    expect(await freeName(name)).toBe(`${name}-3`);
  });
});
