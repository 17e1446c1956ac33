import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cp, mkdtemp, open, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { readSafetensorsHeader } from '../../../extension/core/checkpoints/safetensors';
import { modelFormats } from '../../../extension/core/models/model-headers';
import type { ModelFormat } from '../../../extension/core/models/model-headers';
import { CancelledError } from '../../../extension/core/jobs/job';
import { openModel } from '../../../extension/core/models/open-model';
import { fixture } from '../fixtures';
import { ggufFixture } from '../gguf-fixtures';
import { endedOwner, readOwner } from '../jobs/owners';
import { temporaryFolder } from '../temporary-folder';
import { hashes, prune, readConfig, RecordedContext } from './pruning';

const root = temporaryFolder();
const freshFolder = async (): Promise<string> => mkdtemp(join(root, 'case-'));
const source = fixture('llama-sharded');
const removed = ['block.1.attention'];

/** Model that can be written in an encoding, and its removable parts. */
function findSource(format: ModelFormat): { path: string; folder: string; removed: string[] } {
  const path = format === 'gguf' ? ggufFixture('llama.gguf') : source;
  return {
    path,
    folder: format === 'gguf' ? dirname(path) : path,
    removed: format === 'gguf' ? ['block.1.attention', 'block.1.feedforward'] : removed,
  };
}

describe('a cancelled or failed write', () => {
  it.each(
    modelFormats.flatMap((format) =>
      ['Running the source model', 'Writing weights', 'Checking the written model'].map(
        (stage) => [format, stage] as const,
      ),
    ),
  )('of %s leaves nothing when stopped while %s', async (format, stage) => {
    const folder = await freshFolder();
    const context = new RecordedContext((progress) => {
      context.cancellation.isCancellationRequested ||= progress.stage === stage;
    });
    const model = findSource(format);
    const before = hashes(model.folder);
    const out = join(folder, 'deep', 'out');
    const attempt = prune(model.path, model.removed, out, { format }, context);
    await expect(attempt).rejects.toBeInstanceOf(CancelledError);
    expect(readdirSync(folder)).toEqual([]);
    expect(hashes(model.folder)).toEqual(before);
  });

  it('keeps the model that was to be overwritten', async () => {
    const folder = await freshFolder();
    const out = join(folder, 'out');
    await prune(source, removed, out);
    const before = hashes(out);
    const context = new RecordedContext((progress) => {
      context.cancellation.isCancellationRequested ||= progress.stage.startsWith('Checking');
    });
    const attempt = prune(source, ['block.2.attention'], out, { overwrite: true }, context);
    await expect(attempt).rejects.toBeInstanceOf(CancelledError);
    expect(hashes(out)).toEqual(before);
    expect(readdirSync(folder)).toEqual(['out']);
  });

  it('does not replace a folder that appeared in the meantime', async () => {
    const folder = await freshFolder();
    const out = join(folder, 'out');
    const context = new RecordedContext(({ stage }) => {
      if (!stage.startsWith('Checking')) return;
      mkdirSync(out, { recursive: true });
      writeFileSync(join(out, 'config.json'), '{}');
    });
    await expect(prune(source, removed, out, {}, context)).rejects.toFailWith({
      code: 'output-exists',
      file: 'out',
    });
    expect(readdirSync(folder)).toEqual(['out']);
    expect(readdirSync(out)).toEqual(['config.json']);
  });

  it('names the file if the result differs from the plan', async () => {
    const folder = await freshFolder();
    const damage = new RecordedContext(({ stage, done, total }) => {
      const [partial] = readdirSync(folder);
      if (stage === 'Writing weights' && done === total && partial !== undefined) {
        const path = join(folder, partial, 'model-00003-of-00003.safetensors');
        const bytes = readFileSync(path);
        bytes.fill(0x3f, bytes.length - 2048);
        writeFileSync(path, bytes);
      }
    });
    await expect(prune(source, removed, join(folder, 'out'), {}, damage)).rejects.toFailWith({
      code: 'verification-failed',
      file: 'out',
    });
    expect(readdirSync(folder)).toEqual([]);
  });

  it('rejects a model with non-finite weights before writing', async () => {
    const folder = await freshFolder();
    const broken = join(folder, 'broken');
    await cp(source, broken, { recursive: true });
    const shard = join(broken, 'model-00001-of-00003.safetensors');
    const { dataStart } = await readSafetensorsHeader(shard);
    const handle = await open(shard, 'r+');
    const nan = new Uint8Array(Float32Array.from({ length: 64 * 32 }, () => Number.NaN).buffer);
    await handle.write(nan, 0, nan.length, dataStart);
    await handle.close();
    await expect(prune(broken, removed, join(folder, 'out'))).rejects.toFailWith({
      code: 'sublayer-not-finite',
      file: 'broken',
    });
    expect(readdirSync(folder)).toEqual(['broken']);
  });
});

describe('the output folder', () => {
  it('is refused when it exists, and replaced only when asked', async () => {
    const folder = await freshFolder();
    const out = join(folder, 'out');
    await prune(source, removed, out);
    const before = hashes(out);
    await expect(prune(source, ['block.2.attention'], out)).rejects.toFailWith({
      code: 'output-exists',
      file: out,
    });
    expect(hashes(out)).toEqual(before);
    await prune(source, ['block.2.attention'], out, { overwrite: true });
    expect(readConfig(out)['espalier']).toEqual({ version: 1, removed: ['block.2.attention'] });
    await prune(source, removed, out, { overwrite: true, format: 'onnx' });
    expect(readdirSync(out)).not.toContain('model.safetensors.index.json');
    expect(readdirSync(folder)).toEqual(['out']);
  });

  it('may exist when it is empty', async () => {
    const out = await freshFolder();
    await prune(source, removed, out);
    expect(readdirSync(out)).toContain('espalier.json');
  });

  it('is never replaced if it contains other files, or is a file', async () => {
    const folder = await freshFolder();
    const notes = join(folder, 'notes');
    mkdirSync(notes);
    writeFileSync(join(notes, 'diary.txt'), 'dear diary');
    const more = { overwrite: true };
    await expect(prune(source, removed, notes, more)).rejects.toFailWith({
      code: 'folder-foreign-files',
      file: notes,
    });
    const file = join(notes, 'diary.txt');
    await expect(prune(source, removed, file, more)).rejects.toFailWith({
      code: 'output-file-exists',
      file,
    });
    expect(readFileSync(file, 'utf8')).toBe('dear diary');
  });

  it('may contain files of the operating system, which stay', async () => {
    const out = await freshFolder();
    const names = ['.DS_Store', 'Thumbs.db', 'desktop.ini'];
    for (const name of names) writeFileSync(join(out, name), name);
    await prune(source, removed, out);
    await prune(source, ['block.2.attention'], out, { overwrite: true });
    expect(readConfig(out)['espalier']).toEqual({ version: 1, removed: ['block.2.attention'] });
    for (const name of names) expect(readFileSync(join(out, name), 'utf8')).toBe(name);
    // A folder of such a name is somebody's.
    rmSync(join(out, 'Thumbs.db'));
    mkdirSync(join(out, 'Thumbs.db'));
    await expect(prune(source, removed, out, { overwrite: true })).rejects.toFailWith({
      code: 'folder-foreign-files',
      file: out,
    });
  });

  it('is overwritten only if the manifest lists all of its entries', async () => {
    const folder = await freshFolder();
    const out = join(folder, 'out');
    await prune(source, removed, out);
    const more = { overwrite: true };
    for (const name of ['notes.txt', '.git']) {
      if (name === '.git') mkdirSync(join(out, name));
      else writeFileSync(join(out, name), 'mine');
      const before = hashes(out);
      await expect(prune(source, ['block.2.attention'], out, more)).rejects.toFailWith({
        code: 'folder-foreign-files',
        file: out,
      });
      expect(hashes(out)).toEqual(before);
      rmSync(join(out, name), { recursive: true });
    }
    await prune(source, ['block.2.attention'], out, more);

    const project = join(folder, 'project');
    mkdirSync(join(project, '.git'), { recursive: true });
    writeFileSync(join(project, '.git', 'HEAD'), 'ref: refs/heads/main');
    writeFileSync(join(project, 'config.json'), '{}');
    await expect(prune(source, removed, project, more)).rejects.toFailWith({
      code: 'folder-foreign-files',
      file: project,
    });
    expect(readdirSync(project)).toEqual(['.git', 'config.json']);

    // A manifest of a folder doesn't apply to a file in its place.
    rmSync(join(out, 'config.json'));
    mkdirSync(join(out, 'config.json'));
    writeFileSync(join(out, 'config.json', 'diary.txt'), 'dear diary');
    await expect(prune(source, removed, out, more)).rejects.toFailWith({
      code: 'folder-foreign-files',
      file: out,
    });
  });

  it.each(modelFormats)('lists all files of a model as %s in its manifest', async (format) => {
    const out = join(await freshFolder(), 'out');
    const model = findSource(format);
    await prune(model.path, model.removed, out, { format });
    const { files } = JSON.parse(readFileSync(join(out, 'espalier.json'), 'utf8')) as {
      files: string[];
    };
    expect([...files].sort()).toEqual(readdirSync(out).sort());
  });

  it('is never the source, inside it or around it, not even through a link', async () => {
    const folder = await freshFolder();
    const copy = join(folder, 'around', 'copy');
    await cp(source, copy, { recursive: true });
    await symlink(copy, join(folder, 'link'));
    const before = hashes(copy);
    for (const [out, code, file = out] of [
      [copy, 'output-is-source'],
      [join(folder, 'link'), 'output-is-source', copy],
      [join(copy, 'deep', 'out'), 'output-inside-source'],
      [join(folder, 'link', 'out'), 'output-inside-source', join(copy, 'out')],
      [join(folder, 'around'), 'output-contains-source'],
    ] as const) {
      await expect(prune(copy, removed, out, { overwrite: true })).rejects.toFailWith({
        code,
        file,
      });
    }
    expect(hashes(copy)).toEqual(before);
  });

  it('removes leftovers of a killed job, but not files of a running one', async () => {
    const folder = await freshFolder();
    const stale = join(folder, `.out.espalier-partial-${endedOwner()}`);
    const running = join(folder, `.out.espalier-partial-${readOwner(process.ppid)}`);
    for (const path of [stale, running]) {
      mkdirSync(path);
      writeFileSync(join(path, 'model.safetensors'), 'half');
    }
    await prune(source, removed, join(folder, 'out'));
    expect(existsSync(stale)).toBe(false);
    expect(existsSync(running)).toBe(true);
  });

  it('that cannot be made is an error that names it', async () => {
    const folder = await freshFolder();
    const file = join(folder, 'file');
    writeFileSync(file, 'x');
    await expect(prune(source, removed, join(file, 'out'))).rejects.toFailWith({
      code: 'write-failed',
      file,
      remedy: /^Choose another output folder/,
    });
  });
});

describe('on a small disk', () => {
  const mounts: string[] = [];
  afterEach(() => {
    for (const path of mounts.splice(0)) {
      execFileSync('umount', [path]);
    }
  });

  /** Why no disk of its own can be had, or undefined. */
  function mount(path: string, options: string): string | undefined {
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path], { stdio: 'pipe' });
      mounts.push(path);
      return undefined;
    } catch (error) {
      return `a tmpfs cannot be mounted here: ${(error as Error).message}`;
    }
  }

  it('reports before it begins that the result does not fit on the disk', async ({ skip }) => {
    const disk = await freshFolder();
    const obstacle = mount(disk, 'size=64k');
    skip(obstacle !== undefined, obstacle);
    const before = hashes(source);
    await expect(prune(source, removed, join(disk, 'out'))).rejects.toFailWith({
      code: 'disk-space-too-small',
      file: join(disk, 'out'),
    });
    expect(readdirSync(disk)).toEqual([]);
    expect(hashes(source)).toEqual(before);
  });

  it.for(modelFormats)(
    'that fills up while %s is written, leaves nothing',
    async (format, { skip }) => {
      const disk = await freshFolder();
      const obstacle = mount(disk, 'size=1m');
      skip(obstacle !== undefined, obstacle);
      const context = new RecordedContext(({ stage }) => {
        if (stage === 'Writing weights' && !existsSync(join(disk, 'filler'))) {
          try {
            writeFileSync(join(disk, 'filler'), Buffer.alloc(2 << 20));
          } catch (error) {
            expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC');
          }
        }
      });
      const model = findSource(format);
      const attempt = prune(model.path, model.removed, join(disk, 'out'), { format }, context);
      await expect(attempt).rejects.toFailWith({
        code: 'disk-full',
        file: expect.stringMatching(/(?:model|llama)[^/]*$/),
        remedy: /source is untouched/,
      });
      expect(readdirSync(disk)).toEqual(['filler']);
    },
  );

  it('reports that it is read-only', async ({ skip }) => {
    const disk = await freshFolder();
    const obstacle = mount(disk, 'size=1m,ro');
    skip(obstacle !== undefined, obstacle);
    await expect(prune(source, removed, join(disk, 'out'))).rejects.toFailWith({
      code: 'disk-read-only',
      file: join(disk, 'out'),
    });
  });
});

describe('a plan that makes no sense', () => {
  it('is refused in words', async () => {
    const folder = await freshFolder();
    const out = join(folder, 'out');
    const everything = (await openModel(source)).summary.sublayers.map(({ id }) => id);
    for (const [ids, code, field, remedy] of [
      [[], 'plan-empty', 'remove'],
      [everything, 'sublayers-all-removed', 'remove'],
      [
        ['block.1.atention'],
        'sublayer-unknown',
        'block.1.atention',
        /^Similar ids: block\.1\.attention/,
      ],
    ] as const) {
      await expect(prune(source, ids, out)).rejects.toFailWith({
        ...{ code, file: source, field },
        ...(remedy === undefined ? {} : { remedy }),
      });
    }
    await prune(source, removed, out);
    await expect(prune(out, removed, join(folder, 'again'))).rejects.toFailWith({
      ...{ code: 'sublayer-already-absent', file: out, field: 'block.1.attention' },
    });
    expect(readdirSync(folder)).toEqual(['out']);
  });
});
