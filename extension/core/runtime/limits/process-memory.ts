import { readFileSync } from 'node:fs';
import process from 'node:process';

/** What Node and ONNX Runtime take beside what a model takes, once both have begun to work. */
const ownBytes = 96 << 20;

/** Bytes that this process may still take where its system limits it, as a container does; infinite where not. */
export function roomOfProcess(): number {
  // Where there is no limit: 0 or undefined, or a number beyond all memory.
  const limit = process.constrainedMemory();
  return limit > 0
    ? Math.max(0, limit - ownMemory.privateBytes() - ownBytes)
    : Number.POSITIVE_INFINITY;
}

/** An object, so that a test can say what a process has. */
export const ownMemory = {
  /** What this process has for itself. Files that are mapped, such as weights, give their memory back where it is needed. */
  privateBytes(): number {
    try {
      const [, kilobytes] =
        /^RssAnon:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'latin1')) ?? [];
      return kilobytes === undefined ? process.memoryUsage.rss() : Number(kilobytes) * 1024;
    } catch {
      // Only Linux tells.
      return process.memoryUsage.rss();
    }
  },
};
