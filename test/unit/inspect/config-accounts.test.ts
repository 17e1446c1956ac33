import { describe, expect, it } from 'vitest';
import { topicParameters, configTopic } from '../../../extension/core/inspect/config-accounts';
import { describeModel } from '../../../extension/core/inspect/describe-model';
import { fixture } from '../fixtures';

describe('fields of config.json', () => {
  it.each([
    ['hidden_size', 'hiddenSize'],
    ['n_embd', 'hiddenSize'],
    ['n_layer', 'layers'],
    ['hidden_activation', 'activation'],
    ['num_local_experts', 'experts'],
    ['layer_norm_epsilon', 'normEpsilon'],
    ['bos_token_id', undefined],
    ['toString', undefined],
  ])('%s is about %s', (field, topic) => {
    expect(configTopic(field)).toBe(topic);
  });

  it('list the tensors whose sizes they determine', async () => {
    const model = await describeModel(fixture('llama-gqa-untied'));
    const { hiddenSize = 0, vocabularySize = 0, intermediateSize = 0 } = model.facts;
    const blocks = model.blocks.length;
    expect(topicParameters('vocabularySize', model)).toBe(2 * vocabularySize * hiddenSize);
    expect(topicParameters('intermediateSize', model)).toBe(
      3 * blocks * intermediateSize * hiddenSize,
    );
    expect(topicParameters('keyValueHeads', model)).toBe(2 * blocks * 24 * hiddenSize);
    expect(topicParameters('heads', model)).toBe(2 * blocks * 48 * hiddenSize);
    expect(topicParameters('normEpsilon', model)).toBe((2 * blocks + 1) * hiddenSize);
    expect(topicParameters('hiddenSize', model)).toBe(model.totals.parameters);
    expect(topicParameters('ropeTheta', model)).toBeUndefined();
  });

  it('are not guessed if one matrix contains several', async () => {
    const model = await describeModel(fixture('phi3'));
    expect(topicParameters('keyValueHeads', model)).toBeUndefined();
    expect(topicParameters('experts', model)).toBeUndefined();
  });
});
