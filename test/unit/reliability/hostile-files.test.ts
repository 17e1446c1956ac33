import { execFileSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { openSafetensors } from '../../../extension/core/checkpoints/safetensors';
import { loadTokenizer } from '../../../extension/core/data/tokenizer';
import { CancelledError, checkpoint, unattended } from '../../../extension/core/jobs/job';
import { findModels } from '../../../extension/core/models/find-models';
import { ModelCache } from '../../../extension/core/models/model-cache';
import { openModelFiles } from '../../../extension/core/models/open-model';
import type { OperationContext } from '../../../extension/core/operations/operation';
import { watchingModels } from '../../../extension/core/operations/run-operation';
import { readManifest } from '../../../extension/core/pipelines/manifest-file';
import { UserError } from '../../../extension/core/user-error';
import { fixture } from '../fixtures';
import { temporaryFolder } from '../temporary-folder';

const folder = temporaryFolder();

describe('a pipe instead of a file of a model', () => {
  const pipes = ['x.gguf', 'x.onnx', 'a/config.json', 'b/model.safetensors', 'c/espalier.json'];
  for (const name of ['a', 'b', 'c']) {
    cpSync(fixture('llama-gqa-untied'), join(folder, 'pipes', name), { recursive: true });
  }
  for (const name of pipes) {
    rmSync(join(folder, 'pipes', name), { force: true });
    execFileSync('mkfifo', [join(folder, 'pipes', name)]);
  }

  it('is skipped by the search for models', async () => {
    const found = await findModels([join(folder, 'pipes')]);
    expect([...found.paths.values()]).toEqual([join(folder, 'pipes', 'c')]);
    expect(found.unread).toHaveLength(4);
    expect(await readManifest(join(folder, 'pipes', 'c'))).toBeUndefined();
  });

  it.each(['x.gguf', 'x.onnx', 'a', 'b'])('%s is refused, not waited for', async (name) => {
    await expect(openModelFiles(join(folder, 'pipes', name))).rejects.toThrow(
      /This is not a regular file/,
    );
  });

  it('so is a device', async () => {
    mkdirSync(join(folder, 'devices'));
    execFileSync('ln', ['-s', '/dev/zero', join(folder, 'devices', 'zero.gguf')]);
    await expect(openModelFiles(join(folder, 'devices', 'zero.gguf'))).rejects.toThrow(UserError);
  });
});

describe('JSON files of a model', () => {
  const model = join(folder, 'json');
  cpSync(fixture('llama-gqa-untied'), model, { recursive: true });
  const deep = '['.repeat(50_000) + ']'.repeat(50_000);

  it('nested without end are refused in words: the index, and the header of weights', async () => {
    const index = join(model, 'model.safetensors.index.json');
    writeFileSync(index, `{"weight_map":{"a":${deep}}}`);
    await expect(openSafetensors(index)).rejects.toFailWith({
      code: 'json-limit-exceeded',
      file: 'model.safetensors.index.json',
    });
    const header = Buffer.from(`{"a":{"dtype":${deep}}}`);
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(header.length));
    const weights = join(folder, 'deep.safetensors');
    writeFileSync(weights, Buffer.concat([size, header]));
    await expect(openSafetensors(weights)).rejects.toFailWith({
      code: 'safetensors-header-not-json',
      file: 'deep.safetensors',
    });
  });

  it('a token that claims a length is no text', async () => {
    const tokens = [{ id: 0, content: { length: 1e9 } }];
    const file = join(model, 'tokenizer.json');
    const { model: vocabulary } = JSON.parse(readFileSync(file, 'utf8')) as { model: object };
    writeFileSync(file, JSON.stringify({ model: vocabulary, added_tokens: tokens }));
    await expect(loadTokenizer(model)).rejects.toFailWith({
      code: 'tokenizer-tokens-invalid',
      file: 'tokenizer.json',
      field: 'added_tokens',
    });
  });
});

describe('a model that changes while a job reads it', () => {
  /** Opens a model in a job and does something to its weights; then the job works on, or fails. */
  async function disturbed(
    name: string,
    change: (weights: string) => void,
    goOn: (watched: OperationContext) => Promise<void>,
  ): Promise<unknown> {
    const model = join(folder, name);
    cpSync(fixture('llama-gqa-untied'), model, { recursive: true });
    const models = new ModelCache({ capacity: 1 });
    const environment = { open: async (path: string) => models.open(path) };
    const context = { ...unattended, environment } as unknown as OperationContext;
    return watchingModels(context, async (watched) => {
      await watched.environment.open(model);
      change(join(model, 'model.safetensors'));
      await goOn(watched);
    }).catch((error: unknown) => error);
  }

  const worksOn = async ({ cancellation }: OperationContext): Promise<void> => {
    for (;;) {
      await sleep(50);
      await checkpoint(cancellation);
    }
  };
  const fails = async (): Promise<void> => Promise.reject(new RangeError('no such bytes'));
  const touch = (weights: string): void => {
    utimesSync(weights, 1, 1);
  };
  const truncate = (weights: string): void => {
    truncateSync(weights, 100);
  };
  const remove = (weights: string): void => {
    rmSync(weights);
  };

  it.each([
    ['replaced', touch, worksOn],
    ['truncated', truncate, fails],
    ['deleted', remove, fails],
  ] as const)('%s: it stops with a sentence that names the file', async (name, change, goOn) => {
    const error = await disturbed(name, change, goOn);
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).message).toMatch(
      /model\.safetensors: The file changed while the job read it\. Don't change the model/,
    );
  });

  it("the job's own errors are reported if nothing changed, and so is a cancellation", async () => {
    const context = { ...unattended, environment: {} } as unknown as OperationContext;
    const failing = watchingModels(context, async () => Promise.reject(new RangeError('own')));
    await expect(failing).rejects.toThrow('own');
    const cancelled = { ...context, cancellation: { isCancellationRequested: true } };
    const stopping = watchingModels(cancelled, async (watched) => {
      writeFileSync(join(folder, 'note'), 'not of a model');
      await checkpoint(watched.cancellation);
    });
    await expect(stopping).rejects.toThrow(CancelledError);
  });
});
