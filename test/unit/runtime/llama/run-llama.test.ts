import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { describeVerification } from '../../../../extension/core/export/verification';
import { addLlamaSpeeds } from '../../../../extension/core/evaluate/llama-speed';
import type { EvaluationResult } from '../../../../extension/core/evaluate/evaluation';
import { describeLlamaSpeed } from '../../../../extension/core/evaluate/describe-llama-speed';
import { verifyInLlama, writtenLogits } from '../../../../extension/core/export/verify';
import { loadTokenizer } from '../../../../extension/core/data/tokenizer';
import { DecoderPool } from '../../../../extension/core/generate/decoder-pool';
import { generateTexts } from '../../../../extension/core/generate/generate';
import type { GenerationEvent } from '../../../../extension/core/generate/generate';
import { greedy } from '../../../../extension/core/generate/sampling';
import { unattended } from '../../../../extension/core/jobs/job';
import type { JobContext } from '../../../../extension/core/jobs/job';
import { inEnglish } from '../../../../extension/core/message';
import { openModelFiles } from '../../../../extension/core/models/open-model';
import { writeModel } from '../../../../extension/core/pipelines/write-model';
import type { PruneResult } from '../../../../extension/core/pipelines/prune-result';
import { installedLlama, removeLlama } from '../../../../extension/core/runtime/llama/installation';
import type { LlamaInstallation } from '../../../../extension/core/runtime/llama/installation';
import {
  LlamaText,
  predictWithLlama,
  timeWithLlama,
} from '../../../../extension/core/runtime/llama/run-llama';
import { relativeError } from '../../fixtures';
import { temporaryFolder } from '../../temporary-folder';
import { fakeCrash, fakeRefusal, installFake } from './fake-llama';

const scratch = temporaryFolder();
const sample = join(import.meta.dirname, '../../../../samples/espalier-sample');
const good = join(scratch, 'good.gguf');
const refused = join(scratch, 'refused.gguf');
const crashing = join(scratch, 'crashing.gguf');
let count = 0;

/** Writes the sample as a GGUF file. */
async function write(context: JobContext): Promise<PruneResult> {
  return writeModel(
    {
      ...{ model: await openModelFiles(sample), removed: [], out: join(scratch, `out-${count++}`) },
      ...{ format: 'gguf', overwrite: false, device: 'cpu', memoryBytes: 2 ** 30 },
    },
    context,
  );
}

/** A context that keeps warnings. */
function listening(): JobContext & { readonly warnings: string[] } {
  const warnings: string[] = [];
  return { ...unattended, warnings, warn: (message) => warnings.push(inEnglish(message)) };
}

describe('llama.cpp in a child process', () => {
  let llama: LlamaInstallation;
  beforeAll(async () => {
    vi.stubEnv('XDG_CACHE_HOME', join(scratch, 'cache'));
    writeFileSync(good, 'GGUF');
    writeFileSync(refused, fakeRefusal);
    writeFileSync(crashing, fakeCrash);
    ({ installed: llama } = await installFake());
  });
  afterAll(() => {
    vi.unstubAllEnvs();
  });

  it('returns the most likely tokens, logits in the order of the vocabulary, and tokens', async () => {
    const task = { model: good, ids: Int32Array.of(1, 0), text: 'text' };
    expect(await predictWithLlama(llama, { ...task, withLogits: false }, unattended)).toEqual({
      ...{ tokens: Int32Array.of(1, 0), logits: new Float32Array() },
      textTokens: Int32Array.of(7),
    });
    const { logits } = await predictWithLlama(llama, { ...task, withLogits: true }, unattended);
    expect(logits).toEqual(Float32Array.of(0, 1, 1, 0));
  });

  it('times prefill and decode', async () => {
    const task = { context: 4, tokens: 2, repeats: 2, seconds: 60, vocabularySize: 5 };
    const speed = await timeWithLlama(llama, { model: good, ...task }, unattended);
    expect(speed.threads).toBe(3);
    expect(speed.prefillTokensPerSecond).toBeGreaterThan(0);
    expect(speed.decodeTokensPerSecond).toBeGreaterThan(0);
  });

  it('continues a text that it has read, and reads another one from the start', async () => {
    const text = new LlamaText(llama, good);
    const read = async (ids: readonly number[], known: number, contextSize = 8) =>
      text.read({ ids: Int32Array.from(ids), known, contextSize });
    try {
      expect(await read([], 0)).toMatchObject({ logits: new Float32Array() });
      expect((await read([1, 2], 0)).logits).toEqual(Float32Array.of(0, 0, 1));
      expect(text.known).toBe(2);
      expect((await read([1, 2, 1], 2)).logits).toEqual(Float32Array.of(0, 1));
      // The fake refuses tokens that don't follow those it has read.
      await expect(read([1, 2, 1, 0], 2)).rejects.toThrow(/position 2, expected 3/);
      expect(text.known).toBe(0);
      expect((await read([2], 0)).logits).toEqual(Float32Array.of(0, 0, 1));
      // A larger context is a new one.
      expect((await read([2, 1], 1, 16)).logits).toEqual(Float32Array.of(0, 1));
      const long = Array.from({ length: 1100 }, (_, i) => i % 2);
      expect((await read(long, 0, 2048)).logits).toEqual(Float32Array.of(0, 1));
    } finally {
      text.dispose();
    }
  });

  it('generates text from GGUF files, and leaves files that it refuses to Espalier', async () => {
    const { path, files } = await write(unattended);
    const file = join(path, files[0]?.name ?? '');
    const request = {
      ...{ removed: [], prompt: 'The king said', chat: false, tokens: 3, sampling: greedy },
      ...{ device: 'cpu' as const, memoryBytes: 2 ** 30 },
    };
    const original = { ...request, model: await openModelFiles(sample) };
    const events: GenerationEvent[] = [];
    const context = { ...listening(), emit: (event: GenerationEvent) => events.push(event) };
    const pool = new DecoderPool(2);
    const smaller = { ...request, model: await openModelFiles(file) };
    const [changed, before] = await generateTexts([smaller, original], context, pool);
    const last = (await loadTokenizer(file)).encode(request.prompt).slice(-1);
    const word = (await loadTokenizer(file)).decode([...last]);
    expect(changed).toMatchObject({ text: word.repeat(3), llamaCpp: 'v9.9.9' });
    expect(before).not.toHaveProperty('llamaCpp');
    expect(events.map(({ of, llamaCpp }) => [of, llamaCpp]).slice(0, 2)).toEqual([
      [0, 'v9.9.9'],
      [1, undefined],
    ]);
    const prompt = `${request.prompt}${changed.text}`;
    const [longer, other] = [
      await generateTexts([{ ...smaller, prompt }], context, pool),
      await generateTexts([{ ...smaller, prompt: 'The' }], context, pool),
    ];
    expect(longer[0].text).toBe(changed.text);
    expect(other[0]).toMatchObject({ tokens: 3, llamaCpp: 'v9.9.9' });
    expect(context.warnings).toEqual([]);

    const refused = join(path, `${fakeRefusal}.gguf`);
    copyFileSync(file, refused);
    const again = { ...request, model: await openModelFiles(refused) };
    const [own] = await generateTexts([again], context);
    expect(own.text).not.toBe(changed.text);
    expect(own).not.toHaveProperty('llamaCpp');
    expect(context.warnings.splice(0)).toEqual([
      expect.stringMatching(/ does not run in llama\.cpp v9\.9\.9: unknown model architecture/),
    ]);
    await generateTexts([{ ...again, memoryBytes: 1e6 }], context);
    expect(context.warnings).toContainEqual(
      expect.stringMatching(/does not run in llama\.cpp v9\.9\.9: it needs .* of memory, and/),
    );
  });

  it('explains why a file is refused, and survives a crash', async () => {
    const task = { ids: Int32Array.of(1), withLogits: false, text: '' };
    await expect(predictWithLlama(llama, { ...task, model: refused }, unattended)).rejects.toThrow(
      /refused\.gguf: llama\.cpp can't run it: unknown model architecture: 'fake'\.$/,
    );
    await expect(predictWithLlama(llama, { ...task, model: crashing }, unattended)).rejects.toThrow(
      /crashing\.gguf: llama\.cpp can't run it: It ended with SIGABRT/,
    );
  });

  it('checks a written file, and adds the result to its verification', async () => {
    const { verification, path } = await write(unattended);
    const agreement = verification.llamaCpp?.top1Agreement ?? -1;
    expect(verification.llamaCpp).toEqual({ release: 'v9.9.9', top1Agreement: agreement });
    expect(agreement).toBeGreaterThanOrEqual(0);
    expect(inEnglish(describeVerification(verification))).toMatch(
      /^Verified: .* on 64 tokens\. It loads in llama\.cpp v9\.9\.9, top-1 agreement with the plan [\d.]+\s%\.$/,
    );
    const changed = await openModelFiles(join(path, readdirSync(path).find(isGguf) ?? ''));
    const timed = await addLlamaSpeeds<EvaluationResult>(
      { perplexity: 1, tokens: 1, tokensPerSecond: 1, against: { ...evaluated } },
      { model: changed, against: await openModelFiles(sample), memoryBytes: 2 ** 30 },
      unattended,
    );
    expect(timed.llamaCpp?.release).toBe('v9.9.9');
    expect(timed.against).toEqual(evaluated);
    expect(describeLlamaSpeed(timed).map(inEnglish)).toEqual([
      expect.stringMatching(
        /^llama\.cpp v9\.9\.9, CPU threads: 3; prefill \d{1,3}(?:,\d{3})* tokens\/s, decode/,
      ),
    ]);
  });

  it('compares with the largest logits, and warns instead of failing the job', async () => {
    const check = { ids: Int32Array.of(0, 1), memoryBytes: 1e6, ownAgreement: 0.75 };
    const expected = Float32Array.of(3, 2, 3, 2);
    expect(await verifyInLlama({ ...check, expected, file: good }, unattended)).toEqual({
      ...{ release: 'v9.9.9', top1Agreement: 0.5 },
    });
    const context = listening();
    await verifyInLlama({ ...check, ownAgreement: 0.8, expected, file: good }, context);
    expect(context.warnings.splice(0)).toEqual([
      expect.stringMatching(
        /^good\.gguf predicts other tokens in llama\.cpp v9\.9\.9: top-1 agreement with the plan 50\s%, 80\s% in/,
      ),
    ]);
    const failure = "unknown model architecture: 'fake'";
    expect(await verifyInLlama({ ...check, expected, file: refused }, context)).toEqual({
      ...{ release: 'v9.9.9', failure },
    });
    expect(context.warnings).toEqual([
      `refused.gguf does not run in llama.cpp v9.9.9: ${failure}.`,
    ]);
    const verification = { relativeError: 0, tolerance: 1, tokens: 1 };
    const llamaCpp = { release: 'v9.9.9', failure };
    expect(inEnglish(describeVerification({ ...verification, llamaCpp }))).toMatch(
      /It doesn't run in llama\.cpp v9\.9\.9: unknown model architecture: 'fake'\.$/,
    );
  });

  it('runs no file that is larger than the memory of the job', async () => {
    const context = listening();
    const request = {
      file: refused,
      ids: Int32Array.of(0),
      expected: Float32Array.of(1, 2),
      ownAgreement: 1,
    };
    expect(await verifyInLlama({ ...request, memoryBytes: 10 }, context)).toBeUndefined();
    expect(context.warnings).toEqual([
      expect.stringMatching(/^Not checked in llama\.cpp v9\.9\.9: it needs 17 B of memory/),
    ]);
  });

  it('is not used after its removal', async () => {
    await removeLlama();
    const { verification } = await write(unattended);
    expect(verification).not.toHaveProperty('llamaCpp');
    const result = { perplexity: 1, tokens: 1, tokensPerSecond: 1 };
    const model = await openModelFiles(sample);
    const models = { model, against: undefined, memoryBytes: 2 ** 30 };
    expect(await addLlamaSpeeds(result, models, unattended)).toEqual(result);
  });
});

const evaluated = { perplexity: 2, tokens: 1, tokensPerSecond: 1 };
const isGguf = (name: string): boolean => name.endsWith('.gguf');

/** Installation in the user's own cache folder: tests have another. */
async function findOwn(): Promise<LlamaInstallation | undefined> {
  return installedLlama(join(homedir(), '.cache', 'espalier', 'llama'));
}

async function requireOwn(): Promise<LlamaInstallation> {
  const found = await findOwn();
  if (found === undefined) {
    throw new Error('llama.cpp is not installed');
  }
  return found;
}

const own = await findOwn();

describe.skipIf(own === undefined)(
  'the real llama.cpp, if `espalier install-llama` was run',
  () => {
    beforeAll(() => {
      vi.stubEnv('XDG_CACHE_HOME', join(scratch, 'real'));
      mkdirSync(join(scratch, 'real'));
    });
    afterAll(() => {
      vi.unstubAllEnvs();
    });

    it('has our logits of the same file', async () => {
      const { path, files } = await write(unattended);
      const model = join(path, files[0]?.name ?? '');
      const ids = Int32Array.from({ length: 16 }, (_, i) => 5 + 7 * i);
      const task = { model, ids, withLogits: true, text: 'A river.' };
      const theirs = await predictWithLlama(await requireOwn(), task, unattended);
      const options = { device: 'cpu', memoryBytes: 2 ** 30 } as const;
      const ours = await writtenLogits(model, ids, options, unattended);
      expect(relativeError(theirs.logits, ours)).toBeLessThan(1e-3);
      const tokenizer = await loadTokenizer(model);
      expect(theirs.textTokens).toEqual(tokenizer.encodePlain(task.text));
    });
  },
);
