import { mkdirSync, realpathSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openSafetensors } from '../../../extension/core/checkpoints/safetensors';
import { UserError } from '../../../extension/core/user-error';
import { temporaryFolder } from '../temporary-folder';
import { writeSafetensorsFile } from './safetensors-file';
import { inEnglish } from '../../../extension/core/message';
import { randomRuns } from '../sample';

const root = temporaryFolder();
let folders = 0;

const shards = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'] as const;
const weightMap = { a: shards[0], b: shards[0], c: shards[1] };
const tensor = (begin: number): object => ({
  dtype: 'F32',
  shape: [1],
  data_offsets: [begin, begin + 4],
});

/** A folder of two shards and an index; gives the index's path. */
function writeModel(index: unknown = { weight_map: weightMap }): string {
  const folder = join(root, String(folders++));
  mkdirSync(folder);
  writeSafetensorsFile(
    join(folder, shards[0]),
    { __metadata__: { format: 'pt' }, a: tensor(0), b: tensor(4) },
    8,
  );
  writeSafetensorsFile(join(folder, shards[1]), { c: tensor(0) }, 4);
  const path = join(folder, 'model.safetensors.index.json');
  writeFileSync(path, typeof index === 'string' ? index : JSON.stringify(index));
  return path;
}

async function refusal(index: string): Promise<UserError> {
  const error: unknown = await openSafetensors(index).then(
    () => new Error('the index was accepted'),
    (failure: unknown) => failure,
  );
  expect(error).toBeInstanceOf(UserError);
  return error as UserError;
}

describe('a sharded checkpoint', () => {
  it('joins the tensors of its shards', async () => {
    const index = writeModel();
    const { tensors, files, entry, metadata } = await openSafetensors(index);
    const paths = shards.map((shard) => realpathSync(join(index, '..', shard)));
    expect(entry).toBe(index);
    expect(files).toEqual(paths);
    expect(metadata).toEqual({ format: 'pt' });
    expect([...tensors].map(([name, { file }]) => [name, file])).toEqual([
      ['a', paths[0]],
      ['b', paths[0]],
      ['c', paths[1]],
    ]);
  });

  it('may link to its shards, as the cache of huggingface_hub does', async () => {
    const cache = join(root, 'models--org--name');
    const [blobs, snapshot] = [join(cache, 'blobs'), join(cache, 'snapshots', '0123abc')];
    mkdirSync(blobs, { recursive: true });
    mkdirSync(join(snapshot, '..'));
    renameSync(join(writeModel(), '..'), snapshot);
    const index = join(snapshot, 'model.safetensors.index.json');
    for (const [i, shard] of shards.entries()) {
      const blob = writeSafetensorsFile(
        join(blobs, `blob${i}`),
        i === 0 ? { a: tensor(0), b: tensor(4) } : { c: tensor(0) },
        i === 0 ? 8 : 4,
      );
      rmSync(join(index, '..', shard));
      symlinkSync(blob, join(index, '..', shard));
    }
    const { tensors } = await openSafetensors(index);
    expect(tensors.get('c')?.file).toBe(realpathSync(join(blobs, 'blob1')));
  });

  it('is refused when a shard is missing, a folder or a dangling link', async () => {
    for (const put of [
      () => undefined,
      (path: string) => {
        mkdirSync(path);
      },
      (path: string) => {
        symlinkSync('nowhere', path);
      },
    ]) {
      const index = writeModel();
      const shard = join(index, '..', shards[1]);
      rmSync(shard);
      put(shard);
      const error = await refusal(index);
      expect(error).toFailWith({ code: 'shard-missing', file: 'model-00002-of-00002.safetensors' });
      expect(error.subject.file).toBe(shard);
    }
  });

  it('is refused when a shard is damaged, naming the shard', async () => {
    const index = writeModel();
    const shard = join(index, '..', shards[1]);
    writeSafetensorsFile(shard, { c: tensor(0) }, 3);
    expect((await refusal(index)).subject.file).toBe(shard);
  });

  it('is refused when a shard lacks a tensor', async () => {
    const index = writeModel({ weight_map: { ...weightMap, d: shards[1] } });
    const error = await refusal(index);
    expect(inEnglish(error.problem)).toBe(
      `The index places this tensor in ${shards[1]}, which doesn't contain it.`,
    );
    expect(error.subject).toMatchObject({ file: index, field: 'd' });
  });

  it('is refused when a tensor is in another shard than the index says', async () => {
    const error = await refusal(writeModel({ weight_map: { ...weightMap, b: shards[1] } }));
    expect(inEnglish(error.problem)).toMatch(
      /places this tensor in model-00002.* but this file also contains it/,
    );
    expect(error.subject.field).toBe('b');
  });

  it('is refused when two shards have a tensor that the index does not list', async () => {
    const index = writeModel();
    writeSafetensorsFile(
      join(index, '..', shards[0]),
      { a: tensor(0), b: tensor(4), x: tensor(8) },
      12,
    );
    writeSafetensorsFile(join(index, '..', shards[1]), { c: tensor(0), x: tensor(4) }, 8);
    const error = await refusal(index);
    expect(inEnglish(error.problem)).toMatch(/is in model-00001-of-00002\.safetensors too/);
    expect(error.subject).toMatchObject({ file: join(index, '..', shards[1]), field: 'x' });
  });

  it.each([
    '../model.safetensors',
    '/etc/hostname',
    'sub/model.safetensors',
    '..',
    '.',
    '',
    'C:\\model.safetensors',
    'a\u0000b',
  ])('is refused when a shard is named %j', async (name) => {
    const index = writeModel({ weight_map: { ...weightMap, c: name } });
    expect((await refusal(index)).message).toContain(join(index, '..'));
  });

  it.each<[string, unknown]>([
    ['no JSON', '{"weight_map":'],
    ['a list', []],
    ['null', null],
    ['without a map', {}],
    ['with a list for a map', { weight_map: [shards[0]] }],
    ['with a number for a name', { weight_map: { a: 1 } }],
    ['with null for a name', { weight_map: { a: null } }],
    ['nested without end', `${'['.repeat(200_000)}${']'.repeat(200_000)}`],
  ])('is refused when the index is %s', async (_, text) => {
    const index = writeModel(text);
    expect((await refusal(index)).subject.file).toBe(index);
  });

  it('is refused when the index is missing or not UTF-8', async () => {
    const missing = join(root, 'model.safetensors.index.json');
    expect((await refusal(missing)).subject.file).toBe(missing);
    const index = writeModel();
    writeFileSync(index, Buffer.from([0x7b, 0xff, 0x7d]));
    expect(await refusal(index)).toFailWith({
      code: 'text-not-utf8',
      file: 'model.safetensors.index.json',
    });
  });

  it('is refused or complete for any index', async () => {
    const index = writeModel();
    const name = fc.constantFrom('a', 'b', 'c', 'd', '__proto__');
    const shard = fc.oneof(fc.constantFrom(...shards, 'model.safetensors', '../x'), fc.jsonValue());
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(name, shard), { maxLength: 5 }), async (map) => {
        const pairs = map.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
        writeFileSync(index, `{"weight_map":{${pairs.join()}}}`);
        const result = await openSafetensors(index).catch((error: unknown) => error);
        if (result instanceof UserError) {
          return;
        }
        expect(result).toHaveProperty('tensors');
        const { tensors } = result as Awaited<ReturnType<typeof openSafetensors>>;
        for (const [key] of map) {
          expect(tensors.has(key)).toBe(true);
        }
      }),
      { numRuns: randomRuns(300, 75) },
    );
  });
});
