import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { placesIn } from '../../../extension/core/evaluate/drift';
import { compareModels } from '../../../extension/core/inspect/compare-models';
import { Diagrams } from '../../../extension/core/inspect/flow/diagrams';
import type { Numbering } from '../../../extension/core/inspect/model-comparison';
import { unattended } from '../../../extension/core/jobs/job';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { blocksInSource, commonBlocks } from '../../../extension/core/pipelines/source-blocks';
import { runCli } from '../cli/run-cli';
import { fixture } from '../fixtures';
import { prune } from '../export/pruning';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
const source = fixture('llama-gqa-untied');
const once = join(folder, 'once');
const twice = join(folder, 'twice');
let numbers: Numbering;

beforeAll(async () => {
  const second = ['block.1.attention', 'block.1.feedforward'];
  await prune(source, second, once);
  await prune(once, second, twice);
  numbers = await commonBlocks(twice, source, openModelFiles);
});

describe('a model with renumbered blocks', () => {
  it('is known by the numbers of the one that it was made from, over several steps', async () => {
    expect(numbers).toEqual({ model: [0, 3] });
    expect(await commonBlocks(source, once, openModelFiles)).toEqual({ against: [0, 2, 3] });
    expect(await commonBlocks(source, fixture('qwen2'), openModelFiles)).toEqual({});
    const { summary } = await openModelFiles(fixture('qwen2'));
    expect(await blocksInSource(twice, summary.fingerprint)).toBeUndefined();
  });

  it('is compared with it tensor by tensor', async () => {
    const request = { model: twice, against: source, weights: true };
    const { sublayers, tensors, weights } = await compareModels(
      { ...request, numbers },
      unattended,
    );
    expect(sublayers.model).toEqual([]);
    expect(sublayers.against).toEqual([
      ...['block.1.attention', 'block.1.feedforward', 'block.2.attention', 'block.2.feedforward'],
    ]);
    expect(tensors.model).toEqual([]);
    expect(tensors.against.every((name) => /^model\.layers\.[12]\./.test(name))).toBe(true);
    expect(weights?.equal).toBe(weights?.tensors.length);
    const names = weights?.tensors.map(({ name }) => name) ?? [];
    expect(names.filter((name) => /^model\.layers\.[^03]\./.test(name))).toEqual([]);
    expect(names).toContain('model.layers.3.mlp.up_proj.weight');
    // By its own numbers block 1 would be compared with another.
    const { weights: naive } = await compareModels(request, unattended);
    expect(naive?.equal).toBeLessThan(naive?.tensors.length ?? 0);
  });

  it('is reported block by block', async () => {
    const out = join(folder, 'report.md');
    const { code } = await runCli([
      'report',
      twice,
      '--against',
      source,
      '--weights',
      '--out',
      out,
    ]);
    expect(code).toBe(0);
    const text = await readFile(out, 'utf8');
    expect(text).toMatch(/(\d+) of \1 compared tensors have the same numbers/);
    expect(text).not.toMatch(/only in twice/);
  });

  it('is drawn into one diagram with it', async () => {
    const diagram = await new Diagrams().draw(twice, new Set(), { against: source, numbers });
    if ('reason' in diagram) throw new Error('no diagram');
    const differences = diagram.nodes.map(({ id, label, difference }) => [id, label, difference]);
    const blocks = differences.filter(([, label = '']) => label.startsWith('Block'));
    expect(blocks.map(([, label, difference]) => [label, difference])).toEqual([
      ['Block 0', undefined],
      ['Blocks 1 to 2', 'against'],
      ['Block 3', undefined],
    ]);
  });

  it('is placed in it for drift', async () => {
    const places = await placesIn(await openModelFiles(twice), await openModelFiles(source));
    expect(places).toEqual([0, 1, undefined, undefined, undefined, undefined, 2, 3]);
  });
});
