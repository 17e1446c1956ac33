import { describe, expect, it } from 'vitest';
import { describeFlow } from '../../../extension/core/inspect/flow/describe-flow';
import { inEnglish } from '../../../extension/core/message';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import { encoderOutput, seq2seqFixture, seq2seqGolden, seq2seqNames } from '../encoder-fixtures';
import { relativeError } from '../fixtures';

describe.each(seq2seqNames)('%s', (name) => {
  const folder = seq2seqFixture(name);
  const golden = seq2seqGolden(name);

  it('has the logits of transformers, every tensor used', async () => {
    const output = await encoderOutput(folder, golden.examples);
    expect(relativeError(output, golden.output)).toBeLessThan(1e-4);
    const { summary } = await openModel(folder);
    expect(summary.warnings.map(inEnglish)).toEqual([]);
    expect(summary).toMatchObject({ blocks: 5, vocabularySize: 64, tiedHead: name !== 't5-gated' });
    expect(summary.sublayers.map(({ id }) => id)).toEqual([
      ...[0, 1, 2].flatMap((block) => [`block.${block}.attention`, `block.${block}.feedforward`]),
      ...[3, 4].flatMap((block) => [
        `block.${block}.attention`,
        `block.${block}.cross-attention`,
        `block.${block}.feedforward`,
      ]),
    ]);
    const keeping = summary.sublayers.filter(({ kvBytesPerToken }) => kvBytesPerToken > 0);
    expect(keeping.map(({ id }) => id)).toEqual(['block.3.attention', 'block.4.attention']);
  });

  it.each(golden.removed)('has them without $removed', async ({ removed, output }) => {
    const actual = await encoderOutput(folder, golden.examples, removed);
    expect(relativeError(actual, output)).toBeLessThan(1e-4);
  });
});
