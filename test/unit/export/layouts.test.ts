import { readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LayoutName } from '../../../extension/core/export/hugging-face/layouts';
import type { ErrorCode } from '../../../extension/core/error-codes';
import { openModel } from '../../../extension/core/models/open-model';
import { fixture, relativeError } from '../fixtures';
import { makeRandomModel } from '../random-model';
import { temporaryFolder } from '../temporary-folder';
import { computeLogits, prune } from './pruning';

const folder = temporaryFolder();
const rows = [[3, 14, 15, 9, 26, 5, 35, 8]];
const removed = [
  'block.1.attention',
  'block.0.feedforward',
  'block.2.attention',
  'block.2.feedforward',
];
let model = '';

beforeAll(async () => {
  model = await makeRandomModel({ seed: 3, blocks: 4, inner: 256 });
});
afterAll(() => {
  rmSync(model, { recursive: true });
});

function readConfig(path: string): Record<string, unknown> {
  return JSON.parse(readFileSync(join(path, 'config.json'), 'utf8')) as Record<string, unknown>;
}

describe('a layout', () => {
  it.each(['auto-map', 'deci', 'zeroed'] as const)(
    '%s has the logits of the source without the sublayers',
    async (layout) => {
      const out = join(folder, layout);
      const result = await prune(model, removed, out, { layout });
      expect(result.verification.relativeError).toBe(0);
      expect(result.layout).toBe(layout);
      const expected = await computeLogits(model, rows, removed);
      expect(relativeError(await computeLogits(out, rows), expected)).toBeLessThan(1e-6);
      const keeps = layout === 'zeroed';
      expect(result.bytesAfter === result.bytesBefore).toBe(keeps);
      expect(result.parametersAfter === result.parametersBefore).toBe(keeps);
    },
  );

  it.each(['mixtral', 'mixtral-fused', 'phi', 'gpt-neox', '../encoders/vit-classes'])(
    'zeroed leaves %s as it would be without the sublayers',
    async (name) => {
      const ids = (await openModel(fixture(name))).summary.sublayers.map(({ id }) => id);
      const removedIds = [...ids.slice(1, 2), ...ids.slice(-1)];
      const out = join(folder, `zeroed-${basename(name)}`);
      const result = await prune(fixture(name), removedIds, out, { layout: 'zeroed' });
      expect(result.verification.relativeError).toBeLessThan(1e-6);
    },
  );

  it('blocks is refused if a class of transformers needs a removed type of block', async () => {
    const source = fixture('../families/olmo_hybrid-small');
    const ids = (await openModel(source)).summary.sublayers.map(({ id }) => id);
    const attending = ids.filter((id) => /^block\.[13]\./.test(id));
    const out = join(folder, 'types');
    await expect(prune(source, attending, out, { layout: 'blocks' })).rejects.toMatchObject({
      code: 'blocks-not-removable',
    });
  });

  it('deci lists the parts of each block', async () => {
    const { model_type, intermediate_size, num_key_value_heads, block_configs } = readConfig(
      join(folder, 'deci'),
    );
    expect({ model_type, intermediate_size, num_key_value_heads }).toEqual({
      model_type: 'nemotron-nas',
      intermediate_size: null,
      num_key_value_heads: null,
    });
    const blocks = block_configs as { attention: { no_op: boolean }; ffn: { no_op: boolean } }[];
    expect(blocks.map(({ attention, ffn }) => [attention.no_op, ffn.no_op])).toEqual([
      [false, true],
      [true, false],
      [false, false],
    ]);
    const [file = '', className = ''] = (
      readConfig(join(folder, 'deci'))['auto_map'] as { AutoConfig: string }
    ).AutoConfig.split('.');
    const module = readFileSync(join(folder, 'deci', `${file}.py`), 'utf8');
    expect(module).toContain(`class ${className}(LlamaConfig)`);
    const { summary } = await openModel(join(folder, 'deci'));
    expect(summary.absent).toEqual(['block.0.feedforward', 'block.1.attention']);
    expect(summary.sublayers.map(({ id }) => id)).toEqual([
      'block.0.attention',
      'block.1.feedforward',
      'block.2.attention',
      'block.2.feedforward',
    ]);
  });

  it('deci is kept when such a model is pruned again, and has no other', async () => {
    const source = join(folder, 'deci');
    const out = join(folder, 'deci-again');
    const result = await prune(source, ['block.2.feedforward'], out);
    expect(result.layout).toBe('deci');
    const other = prune(source, ['block.2.feedforward'], `${out}-zeroed`, { layout: 'zeroed' });
    await expect(other).rejects.toMatchObject({ code: 'stays-deci' });
  });

  it.each<[LayoutName, () => string, readonly string[], ErrorCode]>([
    ['blocks', () => model, ['block.1.attention'], 'single-sublayers'],
    ['auto-map', () => model, ['block.1.attention', 'block.1.feedforward'], 'needs-no-module'],
    ['deci', () => model, ['block.0.attention'], 'single-sublayers'],
    ['deci', () => fixture('llama-gqa-untied'), ['block.1.attention'], 'size-not-multiple'],
    [
      'deci',
      () => fixture('llama-attention-bias'),
      ['block.1.attention'],
      'biases-not-expressible',
    ],
    ['deci', () => fixture('llama-head-dim'), ['block.1.attention'], 'head-size-not-expressible'],
    ['deci', () => fixture('qwen3'), ['block.1.attention'], 'family-not-known'],
    [
      'blocks',
      () => fixture('../encoders/bert-masked'),
      ['block.0.attention', 'block.0.feedforward'],
      'single-sublayers',
    ],
  ])('%s refuses in advance unsupported changes (%#)', async (layout, source, ids, code) => {
    const out = join(folder, 'refused');
    await expect(prune(source(), ids, out, { layout })).rejects.toMatchObject({ code });
  });
});
