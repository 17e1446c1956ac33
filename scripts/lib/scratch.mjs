import { readFileSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';

const memory = '/dev/shm';

/**
 * The folder for what a run writes and removes: in memory where there is room for it and programs may run from there. Models
 * are flushed to the disk as they are written, which takes longer than all else on a disk that others use.
 * @param {number} [bytes] that the run needs
 */
export function scratchRoot(bytes = 4e9) {
  try {
    const { bavail, bsize } = statfsSync(memory);
    const mount = readFileSync('/proc/mounts', 'utf8')
      .split('\n')
      .find((line) => line.split(' ')[1] === memory);
    const [, , , options = 'noexec'] = mount?.split(' ') ?? [];
    if (bavail * bsize > bytes && !options.split(',').includes('noexec')) return memory;
  } catch {
    // Only Linux has it.
  }
  return tmpdir();
}
