import { lstat, mkdir, readFile, realpath, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { runtimeFiles } from './onnx-runtime.mjs';
import { run } from './processes.mjs';
import { manifest, root } from './repository.mjs';

/** Path of the packaged extension of a platform. */
export function vsixFile(target = `${process.platform}-${process.arch}`) {
  return join(root, 'dist', `espalier-${target}.vsix`);
}

/**
 * Files that the packaged extension of a platform excludes, in the format of vsce.
 * @param {string} target
 * @returns {Promise<string>} the file
 */
async function writeIgnoreFile(target) {
  const common = await readFile(join(root, '.vscodeignore'), 'utf8');
  const runtime = runtimeFiles(target).map((file) => `!${file}`);
  const file = join(root, 'dist', `vscodeignore-${target}`);
  await mkdir(join(root, 'dist'), { recursive: true });
  await writeFile(file, [common, ...runtime, ''].join('\n'));
  return file;
}

/**
 * Builds the extension for users and packages it; vsce runs the build itself, through the script vscode:prepublish.
 * @param {string} target
 * @returns {Promise<string>} the VSIX
 */
export async function packageExtension(target) {
  const ignoreFile = await writeIgnoreFile(target);
  const vsce = fileURLToPath(import.meta.resolve('@vscode/vsce/vsce'));
  const out = vsixFile(target);
  await withOwnPackages(async () =>
    run(
      process.execPath,
      [
        vsce,
        'package',
        ...['--target', target, '--ignoreFile', ignoreFile, '--out', out],
        // With a repository, vsce points the links and pictures of the README there.
        ...('repository' in manifest
          ? []
          : ['--allow-missing-repository', '--no-rewrite-relative-links']),
      ],
      { cwd: root, quiet: true },
    ),
  );
  return out;
}

/**
 * Runs a task with a node_modules that is no link. `npm list`, which vsce asks for the dependencies, resolves packages
 * at their real path, so in a worktree whose node_modules is a link it finds none of them. The copy consists of hard
 * links.
 * @param {() => Promise<void>} task
 */
async function withOwnPackages(task) {
  const folder = join(root, 'node_modules');
  if (!(await lstat(folder)).isSymbolicLink()) return task();
  const target = await realpath(folder);
  const copy = join(root, 'dist', 'node_modules');
  await rm(copy, { recursive: true, force: true });
  await run('cp', ['-al', target, copy]);
  await rm(folder);
  await rename(copy, folder);
  try {
    await task();
  } finally {
    await rename(folder, copy);
    await symlink(target, folder);
    await rm(copy, { recursive: true, force: true });
  }
}
