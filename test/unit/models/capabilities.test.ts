import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { inEnglish, verbatim } from '../../../extension/core/message';
import type { CompressionChoice } from '../../../extension/core/tensornet/compression-choice';
import { listOutputs } from '../../../extension/core/export/writable';
import { capabilityNames, listRefusals } from '../../../extension/core/models/capabilities';
import type { CapabilityName } from '../../../extension/core/models/capabilities';
import { openModelFiles } from '../../../extension/core/models/open-model';
import { describeMetric } from '../../../extension/core/metrics/metrics';
import { encoderFixture } from '../encoder-fixtures';
import { fixture } from '../fixtures';
import { ggufFixture } from '../gguf-fixtures';
import { onnxFixture } from '../onnx-fixtures';
import { inspectedOnly } from '../quantized-fixtures';
import { temporaryFolder } from '../temporary-folder';

/** Codes of what a model cannot do. */
async function listUnable(path: string): Promise<Partial<Record<CapabilityName, string>>> {
  const { capabilities } = await openModelFiles(path);
  return Object.fromEntries(
    capabilityNames.flatMap((name) => {
      const capability = capabilities[name];
      return capability.able ? [] : [[name, capability.code]];
    }),
  );
}

describe('unsupported operations of a model', () => {
  it.each<[string, string, Partial<Record<CapabilityName, string>>]>([
    ['a decoder', fixture('llama-gqa-untied'), { removeExperts: 'none-of-kind' }],
    [
      'a decoder without a tokenizer',
      fixture('qwen3'),
      {
        readText: 'no-tokenizer',
        evaluate: 'no-tokenizer',
        generate: 'no-tokenizer',
        removeExperts: 'none-of-kind',
      },
    ],
    [
      'a GGUF file',
      ggufFixture('llama.gguf'),
      {
        removeExperts: 'none-of-kind',
        compress: 'keeps-own-packing',
        repair: 'keeps-own-packing',
        patch: 'keeps-own-packing',
      },
    ],
    [
      'an encoder of text',
      encoderFixture('bert-plain'),
      {
        readText: 'no-tokenizer',
        giveLogits: 'no-logits',
        evaluate: 'sees-whole-input',
        generate: 'sees-whole-input',
        keepCache: 'no-key-value-cache',
        removeExperts: 'none-of-kind',
      },
    ],
    [
      'an encoder of images',
      encoderFixture('vit-plain'),
      {
        readText: 'no-text-input',
        giveLogits: 'no-logits',
        evaluate: 'sees-whole-input',
        generate: 'sees-whole-input',
        keepCache: 'no-key-value-cache',
        removeExperts: 'none-of-kind',
      },
    ],
    [
      'a graph of images',
      onnxFixture('mobilenet-legacy'),
      {
        readText: 'no-text-input',
        evaluate: 'no-text-input',
        generate: 'no-text-input',
        keepCache: 'no-key-value-cache',
        removeAttention: 'none-of-kind',
        removeFeedforward: 'none-of-kind',
        removeExperts: 'none-of-kind',
        pruneWidth: 'no-widths',
      },
    ],
  ])('is decided once for %s', async (_, path, expected) => {
    expect(await listUnable(path)).toEqual(expected);
  });

  it('is running operations that its method does not support', async () => {
    const unable = await listUnable(inspectedOnly(join(temporaryFolder(), 'inspected')));
    expect(unable).toMatchObject({ run: 'dtype-not-runnable', compress: 'dtype-not-runnable' });
  });

  it('is reported with the reason and the fix', async () => {
    const { capabilities } = await openModelFiles(ggufFixture('llama.gguf'));
    const { compress } = listRefusals(capabilities);
    const reported = inEnglish(compress ?? verbatim(''));
    expect(reported).toMatch(/GGUF files can't store compressed layers/);
    expect(reported).toMatch(/Hugging Face folder.*layout dense.*convert the result to GGUF/);
    expect(
      Object.values(listRefusals((await openModelFiles(fixture('mixtral'))).capabilities))
        .map(inEnglish)
        .join(),
    ).not.toContain('experts');
  });
});

describe('output formats of a model', () => {
  it('has the same reason in every unsupported format', async () => {
    const opened = await openModelFiles(ggufFixture('llama.gguf'));
    const [layer] = opened.model.sublayer(0).linearLayers;
    const choice = { tensor: layer?.id ?? '', method: 'int8', setting: 32 } as const;
    const answers = await listOutputs(opened, { remove: [], compress: [choice] });
    const { compress } = opened.capabilities;
    expect(answers.filter(({ format }) => format === 'gguf')).toEqual([
      expect.objectContaining({ layout: 'blocks', ...compress }),
      expect.objectContaining({ layout: 'deci', ...compress }),
    ]);
    expect(
      answers
        .filter(({ format }) => format !== 'gguf')
        .map((answer) => !answer.able && answer.code),
    ).toEqual(['format-not-reachable', 'format-not-reachable']);
  });

  it('leaves out folders if embedding and head are tied and compressed differently', async () => {
    const opened = await openModelFiles(encoderFixture('bert-masked'));
    const tied = opened.model.embeddingAndHeadMatrices.filter((one) => one.tiedTo !== undefined);
    expect(tied).toHaveLength(2);
    const folders = async (settings: readonly number[]) => {
      const compress = tied.map(({ id: tensor }, i): CompressionChoice => ({
        ...{ tensor, method: 'int8', setting: settings[i] ?? 0 },
      }));
      const answers = await listOutputs(opened, { remove: [], compress });
      return answers.filter((answer) => answer.format === 'safetensors' && answer.able);
    };
    expect(await folders([32, 32])).not.toEqual([]);
    expect(await folders([32, 64])).toEqual([]);
  });

  it('has one default', async () => {
    const opened = await openModelFiles(fixture('llama-gqa-untied'));
    for (const remove of [['block.1'], ['block.1.attention']]) {
      const answers = await listOutputs(opened, { remove });
      const defaults = answers.filter(({ isDefault }) => isDefault);
      expect(defaults.map(({ able, layout }) => [able, layout])).toEqual([
        [true, remove.includes('block.1') ? 'blocks' : 'auto-map'],
      ]);
    }
  });
});

describe('the metric of a model', () => {
  it('explains why it compares no probabilities', async () => {
    const { model } = await openModelFiles(encoderFixture('bert-plain'));
    expect(describeMetric('norm', model)).toMatch(/last_hidden_state.*contains values, not logits/);
    expect(describeMetric('norm', (await openModelFiles(fixture('gpt2'))).model)).toMatch(
      /logits of each sequence, averaged/,
    );
  });
});
