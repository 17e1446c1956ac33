import type { BlockEnd } from '../parts/block-end';
import type { TransformerSublayer } from './transformer-sublayer';

/** A stream that is part of the state beside the residual one, for attentions that make keys and values of it. */
export interface CarriedStream {
  readonly name: string;
  /** The block whose attention it is in front of. */
  readonly block: number;
  /** First and last boundary at which it is part of the state; boundary i is in front of sublayer i. */
  readonly from: number;
  readonly until: number;
  /** Whether it is the stream in front of the block's end, which the sublayer before `from` has taken over, and not that at `from`. */
  readonly isWithin: boolean;
}

/** Name of the stream in front of a block's attention. */
const carriedName = (block: number): string => `stream.${block}`;

/** Name of the same where it is an output of a part. */
export const outputName = (name: string): string => `next.${name}`;

/**
 * Streams that attentions read besides their own.
 * @param places number of sublayers in front of each block
 * @param startEnds of blocks that are gone, in front of the first sublayer
 */
export function carriedStreams(
  sublayers: readonly TransformerSublayer[],
  places: readonly number[],
  startEnds: readonly BlockEnd[],
): CarriedStream[] {
  const until = new Map<number, number>();
  for (const [index, { kind, weights }] of sublayers.entries()) {
    if (kind === 'attention' && weights.othersKeys?.block !== undefined) {
      until.set(weights.othersKeys.block, index);
    }
  }
  return [...until].map(([block, last]) => {
    const from = places[block] ?? 0;
    const ends = from === 0 ? startEnds : (sublayers[from - 1]?.ends ?? []);
    const isWithin = ends.some((end) => end.block === block);
    return { name: carriedName(block), block, from, until: last, isWithin };
  });
}

/** Where the carried streams at a boundary come from. */
interface Sources {
  /** The residual stream there. */
  readonly current: string;
  /** What was carried before. */
  readonly before: (name: string) => string;
  /** The stream in front of the end of a block. */
  readonly within: (stream: CarriedStream) => string;
}

/** The carried streams at a boundary, by name. */
export function carriedAt(
  carried: readonly CarriedStream[],
  boundary: number,
  { current, before, within }: Sources,
): Record<string, string> {
  const live = carried.filter(({ from, until }) => from <= boundary && boundary <= until);
  return Object.fromEntries(
    live.map((one) => {
      const isNew = one.from === boundary;
      return [one.name, isNew ? (one.isWithin ? within(one) : current) : before(one.name)];
    }),
  );
}

/** Names of the carried streams that the part before a boundary has to give. */
export const carriedWithin = (carried: readonly CarriedStream[], boundary: number): string[] =>
  carried.filter(({ from, isWithin }) => isWithin && from === boundary).map(({ name }) => name);

/** Names of the carried streams that a sublayer reads. */
export const carriedBy = ({ kind, weights }: TransformerSublayer): string[] =>
  kind === 'attention' && weights.othersKeys?.block !== undefined
    ? [carriedName(weights.othersKeys.block)]
    : [];
