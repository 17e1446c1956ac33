import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { extname, relative, sep } from 'node:path';
import { listFiles } from './list-files';
import { withRegularFile } from '../regular-file';

/** Of so many files of a folder, spread over all, and of so many bytes at each place of theirs, the content counts. */
const [mostFiles, mostBytes] = [100, 4096];

/**
 * SHA-256 (hex) that tells what lies at a path from other data sets and models, wherever it lies: names in it, sizes,
 * and samples of the content. Fast where the content is large; whoever opens it knows what it holds.
 */
export async function fingerprintFiles(path: string): Promise<string> {
  const hash = createHash('sha256');
  const isFolder = (await stat(path)).isDirectory();
  const files = isFolder ? await listFiles(path) : [path];
  const step = Math.ceil(files.length / mostFiles);
  for (const [i, file] of files.entries()) {
    const { size } = await stat(file);
    const name = isFolder ? relative(path, file).split(sep).join('/') : extname(file).toLowerCase();
    hash.update(`${name}\n${size}\n`);
    if (i % step === 0) {
      await sample(file, size, (bytes) => hash.update(bytes));
    }
  }
  return hash.digest('hex');
}

/** The bytes at the beginning, in the middle and at the end of a file. */
async function sample(
  file: string,
  size: number,
  take: (bytes: Uint8Array) => unknown,
): Promise<void> {
  await withRegularFile(file, async ({ handle }) => {
    for (const position of [0, Math.floor(size / 2), Math.max(0, size - mostBytes)]) {
      const { buffer, bytesRead } = await handle.read({
        ...{ buffer: new Uint8Array(mostBytes), position },
      });
      take(buffer.subarray(0, bytesRead));
    }
  });
}
