import process from 'node:process';

/** What Node and ONNX Runtime take beside what a model takes, once both have begun to work. */
const ownBytes = 96 << 20;

/** Bytes that this process may still take where its system limits it, as a container does; infinite where not. */
export function roomOfProcess(): number {
  // Where there is no limit: 0 or undefined, or a number beyond all memory.
  const limit = process.constrainedMemory();
  return limit > 0
    ? Math.max(0, limit - process.memoryUsage.rss() - ownBytes)
    : Number.POSITIVE_INFINITY;
}
