import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { renderChat } from '../../../extension/core/data/chat-template';
import { loadTokenizer } from '../../../extension/core/data/tokenizer';
import { openDecoder } from '../../../extension/core/generate/open-decoder';
import { DecoderPool } from '../../../extension/core/generate/decoder-pool';
import { generateTexts } from '../../../extension/core/generate/generate';
import type {
  Generation,
  GenerationEvent,
  GenerationRequest,
} from '../../../extension/core/generate/generate';
import { greedy, sampleToken } from '../../../extension/core/generate/sampling';
import { CancelledError, unattended } from '../../../extension/core/jobs/job';
import type { JobContext } from '../../../extension/core/jobs/job';
import { openModel, openModelFiles } from '../../../extension/core/models/open-model';
import { seededRandom } from '../../../extension/core/data/random';
import { fixture, readFloats, readJson } from '../fixtures';
import type { GoldenArray } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();
const root = join(import.meta.dirname, '..', '..', '..');
const sample = join(root, 'samples', 'espalier-sample');
const opened = await openModelFiles(sample);
const run = { removed: [], device: 'cpu', memoryBytes: 1 << 30 } as const;

const generate = async (
  one: GenerationRequest,
  context: JobContext<GenerationEvent>,
): Promise<Generation> => {
  const [only] = await generateTexts([one], context);
  return only;
};

const request = (changes: Partial<GenerationRequest>): GenerationRequest => ({
  ...run,
  model: opened,
  prompt: 'The president said that',
  chat: false,
  tokens: 12,
  sampling: greedy,
  ...changes,
});

describe('a pool of decoders', () => {
  const pool = new DecoderPool(1);
  const { memoryBytes, device, removed } = run;
  const options = { device, memoryBytes, removed };

  it('reads only the new tokens after a common prefix', async () => {
    const first = request({});
    const [{ text }] = await generateTexts([first], unattended, pool);
    const decoder = await pool.take(opened.model, options);
    const read = vi.spyOn(decoder, 'read');
    await pool.giveBack(decoder, true);
    for (const [prompt, most] of [
      [`${first.prompt}${text} and`, 4],
      [`${first.prompt} nobody`, 4],
    ] as const) {
      read.mockClear();
      const next = request({ prompt, tokens: 6 });
      const [again] = await generateTexts([next], unattended, pool);
      expect(read.mock.calls[0]?.[0].length).toBeLessThanOrEqual(most);
      expect(again.text).toBe((await generate(next, unattended)).text);
    }
  });

  it('does not reuse a cache that a failed run may have corrupted', async () => {
    const decoder = await pool.take(opened.model, options);
    vi.spyOn(decoder, 'read').mockRejectedValueOnce(new Error('The device is lost.'));
    const dispose = vi.spyOn(decoder, 'dispose');
    await pool.giveBack(decoder, true);
    await expect(generateTexts([request({})], unattended, pool)).rejects.toThrow('is lost');
    expect(dispose).toHaveBeenCalledOnce();
  });

  it('closes the one used longest ago for another model', async () => {
    const decoder = await pool.take(opened.model, options);
    await pool.giveBack(decoder, true);
    const dispose = vi.spyOn(decoder, 'dispose');
    const other = await pool.take(await openModel(fixture('llama-gqa-untied')), options);
    expect(dispose).toHaveBeenCalledOnce();
    await pool.giveBack(other, true);
    await other.dispose();
  });
});

describe('decoding', () => {
  it("equals transformers' greedy tokens and logits, token by token from the cache", async () => {
    const name = 'llama-gqa-untied';
    const golden = readJson<{ inputIds: number[]; generated: number[]; stepLogits: GoldenArray }>(
      name,
      'golden-generate.json',
    );
    const expected = readFloats(name, golden.stepLogits);
    const vocabulary = expected.length / golden.generated.length;
    const decoder = await openDecoder(await openModel(fixture(name)), run);
    try {
      let logits = await decoder.read(Int32Array.from(golden.inputIds));
      for (const [step, token] of golden.generated.entries()) {
        expect(logits.length).toBe(vocabulary);
        logits.forEach((logit, id) => {
          expect(Math.abs(logit - (expected[step * vocabulary + id] ?? 0))).toBeLessThan(1e-4);
        });
        expect(sampleToken(logits, greedy, seededRandom(0))).toBe(token);
        logits = await decoder.read(Int32Array.of(token));
      }
    } finally {
      await decoder.dispose();
    }
  });
});

describe('generation', () => {
  it('continues the prompt and reports its tokens one by one', async () => {
    const seen: string[] = [];
    const result = await generate(request({}), {
      ...unattended,
      emit: ({ place, token }) => {
        seen[place] = token.text;
      },
    });
    expect(result).toMatchObject({ model: 'espalier-sample', tokens: 12, stopped: 'length' });
    expect(seen.length).toBe(12);
    expect(seen.join('')).toBe(result.text);
    expect(result.text).toMatch(/^ [a-z]/);
  });

  it('runs two models in turn with independent results, and returns the probability of every token', async () => {
    const events: GenerationEvent[] = [];
    const pruned = request({ removed: ['block.1.attention'], tokens: 5 });
    const both = await generateTexts([request({}), pruned], {
      ...unattended,
      emit: (event) => {
        events.push(event);
      },
    });
    const alone = await generate(request({}), unattended);
    expect(both[0].text).toBe(alone.text);
    expect(both.map(({ tokens }) => tokens)).toEqual([12, 5]);
    expect(events.map(({ of }) => of).join('')).toBe('0101010101' + '0000000');
    const first = events.filter(({ of }) => of === 0).map(({ token }) => token);
    expect(first.map(({ text }) => text).join('')).toBe(both[0].text);
    for (const { text, probability, likeliest } of first) {
      // Greedy decoding chooses the most likely token.
      expect(likeliest[0]).toEqual({ text, probability });
      const chances = likeliest.map((one) => one.probability);
      expect(chances).toEqual([...chances].sort((a, b) => b - a));
      expect(chances.reduce((sum, one) => sum + one, 0)).toBeLessThanOrEqual(1);
    }
  });

  it('keeps the space in front of the first word, which SentencePiece leaves out', async () => {
    const model = join(folder, 'sentence-piece');
    cpSync(fixture('llama-gqa-untied'), model, { recursive: true });
    const { vocab_size: size } = readJson<{ vocab_size: number }>(
      'llama-gqa-untied',
      'config.json',
    );
    const spaces = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always' };
    const words = Array.from({ length: size - 1 }, (_, i) => [`▁word${i}`, -1]);
    writeFileSync(
      join(model, 'tokenizer.json'),
      JSON.stringify({
        version: '1.0',
        added_tokens: [],
        pre_tokenizer: spaces,
        decoder: spaces,
        model: { type: 'Unigram', unk_id: 0, vocab: [['<unk>', 0], ...words] },
      }),
    );
    const { text } = await generate(
      request({ model: await openModelFiles(model), prompt: 'word1 word2', tokens: 3 }),
      unattended,
    );
    expect(text).toMatch(/^(?: (?:word\d+|<unk>)){3}$/);
  });

  it('with skipped sublayers writes something else, and with a seed the same again', async () => {
    const whole = await generate(request({}), unattended);
    const pruned = await generate(request({ removed: ['block.1.attention'] }), unattended);
    expect(pruned.text).not.toBe(whole.text);
    const sampling = { temperature: 1, topK: 50, topP: 0.9, seed: 4 };
    const first = await generate(request({ sampling }), unattended);
    const second = await generate(request({ sampling }), unattended);
    expect(second.text).toBe(first.text);
    expect(first.text).not.toBe(whole.text);
  });

  it('stops at the end-of-text token', async () => {
    const model = join(folder, 'ending');
    cpSync(sample, model, { recursive: true });
    const { text } = await generate(request({ tokens: 3 }), unattended);
    const tokenizer = await loadTokenizer(sample);
    const [first = 0] = tokenizer.encodePlain(text);
    writeFileSync(
      join(model, 'generation_config.json'),
      JSON.stringify({ eos_token_id: [7, first] }),
    );
    await expect(
      generate(request({ model: await openModelFiles(model) }), unattended),
    ).resolves.toMatchObject({
      text: '',
      tokens: 0,
      stopped: 'end',
      tokensPerSecond: null,
    });
  });

  it('can be canceled, and rejects prompts that are too long', async () => {
    const cancelled = { ...unattended, cancellation: { isCancellationRequested: true } };
    await expect(generate(request({}), cancelled)).rejects.toBeInstanceOf(CancelledError);
    await expect(generate(request({ chat: true }), unattended)).rejects.toMatchObject({
      subject: { field: 'chat_template' },
    });
    const long = 'word '.repeat(600);
    await expect(generate(request({ prompt: long }), unattended)).rejects.toMatchObject({
      subject: { field: 'prompt' },
    });
  });
});

describe('sampling', () => {
  it('draws only from the most likely tokens, according to their probabilities', () => {
    const logits = Float32Array.from([0, 2, 1, -1, 1.5]);
    const random = seededRandom(3);
    const counts = new Map<number, number>();
    const draws = 4000;
    for (let i = 0; i < draws; i++) {
      const token = sampleToken(logits, { temperature: 0.5, topK: 3, seed: 0 }, random);
      counts.set(token, (counts.get(token) ?? 0) + 1);
    }
    const weights = [1, 4, 2].map((id) => Math.exp((logits[id] ?? 0) / 0.5));
    const total = weights.reduce((a, b) => a + b, 0);
    expect([...counts.keys()].sort()).toEqual([1, 2, 4]);
    expect((counts.get(1) ?? 0) / draws).toBeCloseTo((weights[0] ?? 0) / total, 1);
    expect((counts.get(4) ?? 0) / draws).toBeCloseTo((weights[1] ?? 0) / total, 1);
  });

  it('with a small top-p or temperature selects the most likely token', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: -20, max: 20 }), { minLength: 1 }),
        fc.nat(),
        (values, seed) => {
          const logits = Float32Array.from(values);
          const best = values.indexOf(Math.max(...values));
          const random = seededRandom(seed);
          expect(sampleToken(logits, { temperature: 1, topP: 1e-9, seed }, random)).toBe(best);
          expect(sampleToken(logits, { temperature: 1e-3, seed }, random)).toBe(best);
          expect(sampleToken(logits, greedy, random)).toBe(best);
        },
      ),
    );
  });
});

describe('chat templates', () => {
  const chats = JSON.parse(
    readFileSync(join(root, 'test', 'fixtures', 'tasks', 'chat.json'), 'utf8'),
  ) as { template: string; message: string; rendered: string }[];

  it.each(chats)(
    'render as with transformers ($template)',
    async ({ template, message, rendered }) => {
      const model = join(folder, 'chat');
      cpSync(sample, model, { recursive: true });
      writeFileSync(join(model, 'chat_template.jinja'), template);
      expect(renderChat(await loadTokenizer(model), message)).toBe(rendered);
    },
  );

  it('are rendered for the whole conversation', async () => {
    const chatTemplate =
      '{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>';
    const tokenizer = { ...(await loadTokenizer(sample)), chatTemplate };
    const turns = [{ prompt: 'Who?', answer: 'A clerk.' }];
    expect(renderChat(tokenizer, 'When?', turns)).toBe(
      '<user>Who?<assistant>A clerk.<user>When?<assistant>',
    );
  });

  it('are stopped if they run too long', async () => {
    const model = join(folder, 'endless');
    cpSync(sample, model, { recursive: true });
    const endless = '{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}';
    writeFileSync(join(model, 'chat_template.jinja'), endless);
    const tokenizer = await loadTokenizer(model);
    expect(() => renderChat(tokenizer, 'hello')).toFailWith({
      code: 'chat-template-failed',
      file: 'tokenizer.json',
      field: 'chat_template',
    });
  });
});
