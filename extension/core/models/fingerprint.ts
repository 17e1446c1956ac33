import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import type { Checkpoint } from '../checkpoints/lazy-tensor';

const samplesPerFile = 64;
const sampleBytes = 1024;
const smallBytes = 1 << 20;

/**
 * SHA-256 (hex) of the config, the name, dtype, shape and location of every tensor, and evenly spaced samples of the
 * weights. Changes with the model, and takes the same time for 10 MB and 100 GB.
 */
export async function fingerprintModel(
  configText: string,
  checkpoint: Checkpoint,
): Promise<string> {
  const hash = createHash('sha256');
  hash.update(configText);
  for (const name of [...checkpoint.tensors.keys()].sort()) {
    const tensor = checkpoint.tensors.get(name);
    hash.update(`${name} ${tensor?.dtype} ${tensor?.shape.join('x')} ${tensor?.offset}\n`);
  }
  await sampleFiles(hash, checkpoint.files);
  return hash.digest('hex');
}

/** Fingerprint of a changed model: that of the model with a description of each change, by its id. */
export function fingerprintChanges<Change>(
  fingerprint: string,
  changes: ReadonlyMap<string, Change>,
  describe: (change: Change) => unknown,
): string {
  const described = [...changes]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([id, change]) => [id, describe(change)]);
  return createHash('sha256').update(fingerprint).update(JSON.stringify(described)).digest('hex');
}

/** Adds the sizes of the files and evenly spaced samples of them to `hash`. */
export async function sampleFiles(hash: Hash, files: readonly string[]): Promise<void> {
  for (const file of files) {
    const handle = await open(file, 'r');
    try {
      const { size } = await handle.stat();
      hash.update(`${size}\n`);
      // One read of a small file takes less time than many.
      const all = size > smallBytes ? undefined : await handle.readFile();
      for (let i = 0; i < samplesPerFile; i++) {
        const place = Math.max(0, Math.floor(((size - sampleBytes) * i) / (samplesPerFile - 1)));
        hash.update(all?.subarray(place, place + sampleBytes) ?? (await sampleAt(handle, place)));
      }
    } finally {
      await handle.close();
    }
  }
}

async function sampleAt(handle: FileHandle, position: number): Promise<Buffer> {
  const sample = Buffer.alloc(sampleBytes);
  const { bytesRead } = await handle.read(sample, 0, sampleBytes, position);
  return sample.subarray(0, bytesRead);
}
