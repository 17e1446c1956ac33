import { cpSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readGgufModel } from '../../../extension/core/checkpoints/gguf-parts';
import { modelPathName } from '../../../extension/core/checkpoints/model-file';
import { loadTokenizer } from '../../../extension/core/data/tokenizer';
import { openModel } from '../../../extension/core/models/open-model';
import { folderPooling } from '../../../extension/core/models/folder-pooling';
import { UserError } from '../../../extension/core/user-error';
import { fixture } from '../fixtures';
import { ggufFixture } from '../gguf-fixtures';
import { onnxFixture } from '../onnx-fixtures';
import { temporaryFolder } from '../temporary-folder';
import { ggufBytes, numberValue } from './gguf-file';

const root = temporaryFolder();
const secret = 'root:x:0:0:root';
let count = 0;

/** A model folder, and a folder of other files next to it. */
function folders(source?: string): { readonly model: string; readonly other: string } {
  const [model, other] = ['model', 'other'].map((name) => join(root, String(count), name));
  count++;
  if (model === undefined || other === undefined) throw new Error('never');
  mkdirSync(other, { recursive: true });
  if (source === undefined) mkdirSync(model);
  else cpSync(source, model, { recursive: true });
  return { model, other };
}

async function refusal(attempt: Promise<unknown>): Promise<UserError> {
  const error: unknown = await attempt.then(
    () => new Error('it was opened'),
    (failure: unknown) => failure,
  );
  expect(error).toBeInstanceOf(UserError);
  return error as UserError;
}

const opened = async (model: string): Promise<unknown> => openModel(model);

it.each([
  [['smol', 'onnx', 'model.onnx'], 'smol'],
  [['smol', 'model.onnx'], 'smol'],
  [['smol', 'onnx'], 'smol'],
  [['smol', 'onnx', 'decoder.onnx'], 'decoder.onnx'],
  [['models', 'smol.gguf'], 'smol.gguf'],
  [['models--owner--smol', 'snapshots', '0a1b', 'onnx', 'model.onnx'], 'smol'],
])('the name of %j is %s', (parts, name) => {
  expect(modelPathName(join(root, ...parts))).toBe(name);
});

describe('a link out of a model folder', () => {
  it.each([
    ['config.json', 'llama-gqa-untied', opened],
    ['espalier-family.json', 'llama-gqa-untied', opened],
    ['model.safetensors', 'llama-gqa-untied', opened],
    ['model.safetensors.index.json', 'llama-sharded', opened],
    ['model-00002-of-00003.safetensors', 'llama-sharded', opened],
    ['tokenizer.json', 'llama-gqa-untied', loadTokenizer],
    ['tokenizer_config.json', 'llama-gqa-untied', loadTokenizer],
    ['chat_template.jinja', 'llama-gqa-untied', loadTokenizer],
    ['modules.json', 'llama-gqa-untied', folderPooling],
  ] as const)(
    'is refused for %s, and the content of its target is not quoted',
    async (name, source, open) => {
      const { model, other } = folders(fixture(source));
      const link = join(model, name);
      rmSync(link, { force: true });
      writeFileSync(join(other, 'passwd'), secret);
      symlinkSync('../other/passwd', link);
      const error = await refusal(open(model));
      expect(error.subject.file).toBe(link);
      expect(error.message).toContain("outside of the model's folder");
      expect(error.message).not.toContain(secret.slice(0, 4));
    },
  );

  it('is refused for a file that would be opened otherwise', async () => {
    const { model, other } = folders(fixture('llama-gqa-untied'));
    const weights = join(model, 'model.safetensors');
    renameSync(weights, join(other, 'model.safetensors'));
    symlinkSync('../other/model.safetensors', weights);
    expect((await refusal(openModel(model))).subject.file).toBe(weights);
  });

  it('is refused for a GGUF file and a part of one', async () => {
    const { model, other } = folders();
    cpSync(ggufFixture('llama.gguf'), join(other, 'llama.gguf'));
    const whole = join(model, 'llama.gguf');
    symlinkSync(join(other, 'llama.gguf'), whole);
    expect((await refusal(openModel(whole))).subject.file).toBe(whole);

    const [first, second] = [1, 2].map((i) => join(model, `m-0000${i}-of-00002.gguf`));
    if (first === undefined || second === undefined) throw new Error('never');
    const bytes = ggufBytes([['split.count', numberValue(2)]], [], 0);
    writeFileSync(first, bytes);
    writeFileSync(join(other, 'part'), bytes);
    symlinkSync(join(other, 'part'), second);
    expect((await refusal(readGgufModel(first))).subject.file).toBe(second);
  });

  it('is refused for a graph and the config.json next to it', async () => {
    const { model, other } = folders();
    const source = onnxFixture('llama-genai');
    const graph = join(model, basename(source));
    for (const file of [source, `${source}.data`]) cpSync(file, join(other, basename(file)));
    symlinkSync(join(other, basename(source)), graph);
    expect((await refusal(openModel(graph))).subject.file).toBe(graph);

    const own = join(other, 'config.json');
    writeFileSync(join(model, 'secret'), secret);
    symlinkSync(join(model, 'secret'), own);
    const error = await refusal(openModel(join(other, basename(source))));
    expect(error.subject.file).toBe(own);
    expect(error.message).not.toContain(secret);
  });

  it('is refused for a folder of a module', async () => {
    const { model, other } = folders(fixture('llama-gqa-untied'));
    writeFileSync(
      join(model, 'modules.json'),
      JSON.stringify([
        { type: 'x.Transformer', path: '' },
        { type: 'x.Pooling', path: '1_Pooling' },
      ]),
    );
    writeFileSync(join(other, 'config.json'), secret);
    symlinkSync(other, join(model, '1_Pooling'));
    const error = await refusal(folderPooling(model));
    expect(error.subject.file).toBe(join(model, '1_Pooling', 'config.json'));
    expect(error.message).not.toContain(secret);
  });
});

describe('a link is followed', () => {
  it('inside the folder, also if the folder itself is a link', async () => {
    const { model, other } = folders(fixture('llama-gqa-untied'));
    mkdirSync(join(model, 'files'));
    renameSync(join(model, 'model.safetensors'), join(model, 'files', 'weights'));
    symlinkSync('files/weights', join(model, 'model.safetensors'));
    const link = join(other, 'linked');
    symlinkSync(model, link);
    expect((await openModel(link)).summary.architecture).toBe('llama');
  });

  it('to the blobs of the same cache of Hugging Face', async () => {
    const { other } = folders();
    const cache = join(other, 'models--org--name');
    const [blobs, snapshot] = [join(cache, 'blobs'), join(cache, 'snapshots', '0123abc')];
    cpSync(fixture('llama-gqa-untied'), blobs, { recursive: true });
    mkdirSync(snapshot, { recursive: true });
    for (const name of ['config.json', 'model.safetensors', 'tokenizer.json']) {
      symlinkSync(relative(snapshot, join(blobs, name)), join(snapshot, name));
    }
    expect((await openModel(snapshot)).summary.name).toBe('name');
    expect((await loadTokenizer(snapshot)).encode('a').length).toBeGreaterThan(0);
  });
});
