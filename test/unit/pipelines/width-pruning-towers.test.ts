import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openModel } from '../../../extension/core/models/open-model';
import { encoderOutput, seq2seqFixture, seq2seqGolden } from '../encoder-fixtures';
import { readConfig } from '../export/pruning';
import { relativeError } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';
import { ignoringIn, pruneWidthsIn } from './width-pruning';

const root = temporaryFolder();
const pruneWidths = pruneWidthsIn(root);
const ignoring = ignoringIn(root);

const some = [
  { sublayer: 'block.0.feedforward', remove: '0-2,5,11' },
  { sublayer: 'block.4.feedforward', remove: '3,7' },
];
const channels = (blocks: readonly number[], remove: string) =>
  blocks.map((block) => ({ sublayer: `block.${block}.feedforward`, remove }));

describe.each(['t5', 'umt5', 'bart', 'bigbird-pegasus', 'whisper'])(
  '%s with fewer channels',
  (name) => {
    const source = seq2seqFixture(name);
    const { examples } = seq2seqGolden(name);

    it('of some MLPs equals the original without the channels', async () => {
      const result = await pruneWidths(source, { widths: some }, `${name}-some`);
      expect(result).toMatchObject({ layout: 'auto-map' });
      expect(result.parametersAfter).toBeLessThan(result.parametersBefore);
      const expected = await encoderOutput(await ignoring(source, 'some', some), examples);
      const actual = await encoderOutput(result.path, examples);
      expect(relativeError(actual, expected)).toBeLessThan(1e-5);
      const inner = name.includes('t5') ? [24, 24] : [24, 20];
      expect(readConfig(result.path)['espalier']).toMatchObject({
        widths: {
          'block.0.feedforward': (inner[0] ?? 0) - 5,
          'block.4.feedforward': (inner[1] ?? 0) - 2,
        },
      });
      expect(readFileSync(join(result.path, 'modeling_espalier.py'), 'utf8')).toContain('resize(');
      // A pruned model is pruned again, renumbered, and written.
      const remove = ['block.1.attention', 'block.1.feedforward', 'block.3.feedforward'];
      const again = await pruneWidths(result.path, { remove }, `${name}-again`);
      const both = await encoderOutput(result.path, examples, remove);
      const left = await encoderOutput(again.path, examples);
      expect(relativeError(left, both)).toBe(0);
      const graph = await pruneWidths(source, { widths: some }, `${name}-onnx`, { format: 'onnx' });
      expect(graph.verification.relativeError).toBeLessThan(1e-5);
    });

    it('in all of them is an ordinary model', async () => {
      const plan = name.includes('t5')
        ? channels([0, 1, 2, 3, 4], '1-4')
        : [...channels([0, 1, 2], '1-4'), ...channels([3, 4], '0-2')];
      const result = await pruneWidths(source, { widths: plan }, `${name}-all`);
      expect(result).toMatchObject({ layout: 'blocks' });
      const expected = await encoderOutput(await ignoring(source, 'all', plan), examples);
      const actual = await encoderOutput(result.path, examples);
      expect(relativeError(actual, expected)).toBeLessThan(1e-5);
      const config = readConfig(result.path);
      expect(config).not.toHaveProperty('espalier');
      expect(config).toMatchObject(
        name.includes('t5') ? { d_ff: 20 } : { encoder_ffn_dim: 20, decoder_ffn_dim: 17 },
      );
      expect((await openModel(result.path)).summary.warnings).toEqual([]);
    });
  },
);
