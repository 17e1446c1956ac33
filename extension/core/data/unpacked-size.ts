/** Decompressed size that is always allowed, in bytes. */
const smallBytes = 64 << 20;
/** Maximum compression ratio of larger files. Sound data compresses less. */
export const maxRatio = 100;

/** Maximum decompressed size of a compressed file. Deflate can compress zeros 1032 times, other methods far more. */
export const maxUnpacked = (packed: number): number => Math.max(smallBytes, packed * maxRatio);
