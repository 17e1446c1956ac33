/** A small file may unpack to this, in bytes, whatever its ratio. */
const smallBytes = 64 << 20;
/** Larger ones may unpack to this many times their size. Sound data shrinks less. */
export const mostRatio = 100;

/** Most bytes that a compressed file may unpack to. Deflate can shrink zeros 1032 times, other methods far more. */
export const mostUnpacked = (packed: number): number => Math.max(smallBytes, packed * mostRatio);
