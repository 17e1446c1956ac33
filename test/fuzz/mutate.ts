/** Whole numbers below `bound`, the same for the same seed. */
export type Random = (bound: number) => number;

/** Mulberry32, by Tommy Ettinger. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return (bound) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * bound);
  };
}

export function pick<T>(list: readonly T[], random: Random): T {
  const chosen = list[random(list.length)];
  if (chosen === undefined) {
    throw new RangeError('nothing to pick from');
  }
  return chosen;
}

/** Numbers at which sizes and counts overflow, in all widths that the formats use. */
const edges = [0n, 1n, 0x7fn, 0x80n, 0xffn, 0x7fffffffn, 0x80000000n, 0xffffffffn, 2n ** 32n];
const wideEdges = [...edges, 2n ** 40n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 64n - 1n];
const characters = ['"', '{', '}', '[', ']', ',', ':', '-', '9', '0', 'e', '\\', '\0', '\n'];

/** May change the bytes that it is given. */
type Mutation = (bytes: Buffer, at: number, random: Random, other: Buffer) => Buffer;

const mutations: readonly Mutation[] = [
  (bytes, at, random) => {
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
    return bytes;
  },
  (bytes, at, random) => {
    bytes[at] = random(256);
    return bytes;
  },
  (bytes, at, random) => {
    bytes[at] = pick(characters, random).charCodeAt(0);
    return bytes;
  },
  (bytes, at, random) => {
    const number = Buffer.alloc(8);
    number.writeBigUInt64LE(pick(wideEdges, random));
    number.copy(bytes, at, 0, pick([2, 4, 8], random));
    return bytes;
  },
  (bytes, at, random) => {
    const piece = Buffer.from(varint(pick(wideEdges, random)));
    return Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at + random(11))]);
  },
  (bytes, at, random) =>
    Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random(40))]),
  (bytes, at, random) => {
    const piece = bytes.subarray(at, at + 1 + random(400));
    const times = 1 + random(20);
    const copies = Array.from({ length: times }, () => piece);
    return Buffer.concat([bytes.subarray(0, at), ...copies, bytes.subarray(at)]);
  },
  (bytes, at, random, other) => {
    const from = random(other.length);
    const piece = other.subarray(from, from + random(400));
    return Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at)]);
  },
  (bytes, at) => bytes.subarray(0, at),
];

/** A copy of `bytes` with some changes, most of them in the first `header` bytes. */
export function mutate(bytes: Buffer, header: number, other: Buffer, random: Random): Buffer {
  let changed: Buffer = Buffer.from(bytes);
  const count = 1 + random(random(2) === 0 ? 3 : 12);
  for (let i = 0; i < count && changed.length > 0; i++) {
    const span = random(5) > 0 ? Math.min(header, changed.length) : changed.length;
    // Cutting the file off hides what else is changed: one time in ten only.
    const kinds = random(10) > 0 ? mutations.slice(0, -1) : mutations;
    changed = pick(kinds, random)(changed, random(span), random, other);
  }
  return changed;
}

function varint(value: bigint): number[] {
  return value < 128n ? [Number(value)] : [Number(value % 128n) + 128, ...varint(value / 128n)];
}
