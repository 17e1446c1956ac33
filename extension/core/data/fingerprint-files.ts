import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { extname, relative, sep } from 'node:path';
import { listFiles } from './list-files';
import { withRegularFile } from '../regular-file';

/** Maximum number of sampled files, and sampled bytes per position in each. */
const [maxFiles, maxBytes] = [100, 4096];

/**
 * SHA-256 (hex) that identifies a dataset or model independently of its location, from relative names, sizes and
 * samples of the content. Fast for large files, but not a full content hash.
 */
export async function fingerprintFiles(path: string): Promise<string> {
  const hash = createHash('sha256');
  const isFolder = (await stat(path)).isDirectory();
  const files = isFolder ? await listFiles(path) : [path];
  const step = Math.ceil(files.length / maxFiles);
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

/** Reads samples from the start, middle and end of a file. */
async function sample(
  file: string,
  size: number,
  take: (bytes: Uint8Array) => unknown,
): Promise<void> {
  await withRegularFile(file, async ({ handle }) => {
    for (const position of [0, Math.floor(size / 2), Math.max(0, size - maxBytes)]) {
      const { buffer, bytesRead } = await handle.read({
        ...{ buffer: new Uint8Array(maxBytes), position },
      });
      take(buffer.subarray(0, bytesRead));
    }
  });
}
