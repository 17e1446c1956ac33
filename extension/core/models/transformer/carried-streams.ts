import { changesStreams, streamsRead } from '../parts/block-end';
import type { BlockEnd } from '../parts/block-end';
import type { AltUp } from '../parts/streams/altup';
import type { Sublayer } from '../modules/sublayer-list';

/**
 * A hidden state that is carried along with the residual stream, for later attention layers that
 * compute keys and values from it.
 */
export interface CarriedStream {
  readonly name: string;
  /** Block whose attention it precedes. */
  readonly block: number;
  /** First and last boundary at which it is part of the state; boundary i is in front of sublayer i. */
  readonly from: number;
  readonly until: number;
  /**
   * True if it is the stream before the end of its block, which is part of the sublayer before
   * `from`; false if it is the stream at `from`.
   */
  readonly isWithin: boolean;
}

/** Name of the stream before a block's attention. */
const carriedName = (block: number): string => `stream.${block}`;

/** Its name as an output of a part. */
export const outputName = (name: string): string => `next.${name}`;

/**
 * Hidden states that attention layers read in addition to the residual stream.
 * @param places number of sublayers before each block
 * @param startEnds block ends before the first remaining sublayer
 */
export function carriedStreams(
  sublayers: readonly Sublayer[],
  places: readonly number[],
  startEnds: readonly BlockEnd[],
): CarriedStream[] {
  const until = new Map<number, number>();
  for (const [index, { keysBlock }] of sublayers.entries()) {
    if (keysBlock !== undefined) {
      until.set(keysBlock, index);
    }
  }
  return [...until].map(([block, last]) => {
    const from = places[block] ?? 0;
    const ends = from === 0 ? startEnds : (sublayers[from - 1]?.ends ?? []);
    const isWithin = ends.some((end) => end.block === block && end.predict === undefined);
    return { name: carriedName(block), block, from, until: last, isWithin };
  });
}

/** Name of a predicted stream of the block. */
const expectedName = (index: number): string => `expected.${index}`;

/** Parts of a layout that determine the state at its boundaries. */
interface Stated {
  readonly altUp: AltUp | undefined;
  readonly carried: readonly CarriedStream[];
  readonly sublayers: readonly Sublayer[];
  readonly startEnds: readonly BlockEnd[];
}

/** Ends of blocks before a boundary. */
const endsBefore = ({ sublayers, startEnds }: Stated, boundary: number): readonly BlockEnd[] =>
  boundary === 0 ? startEnds : (sublayers[boundary - 1]?.ends ?? []);

/** Names of the streams of several that are part of the state at a boundary. */
const expectedAt = ({ altUp, sublayers }: Stated, boundary: number): string[] =>
  boundary === sublayers.length
    ? []
    : Array.from({ length: altUp?.count ?? 0 }, (_, index) => expectedName(index));

/** Names of the predicted streams that the ends of blocks before a boundary read. */
export const expectedBefore = (layout: Stated, boundary: number): string[] =>
  Array.from(
    { length: streamsRead(endsBefore(layout, boundary), layout.altUp?.count ?? 0) },
    (_, index) => expectedName(index),
  );

/** Values of the state other than the residual stream. */
interface Sources {
  /** The residual stream there. */
  readonly current: string;
  /** Value at the previous boundary. */
  readonly before: (name: string) => string;
  /** The stream before the end of a block. */
  readonly within: (stream: CarriedStream) => string;
  /** A stream of several. */
  readonly expected: (name: string, index: number) => string;
}

/** The values of the state at a boundary besides the residual stream, by name. */
export function otherStateValues(
  layout: Stated,
  boundary: number,
  { current, before, within, expected }: Sources,
): Record<string, string> {
  const live = layout.carried.filter(({ from, until }) => from <= boundary && boundary <= until);
  const isGiven = givesStreams(layout, boundary);
  const carried = live.map((one) => {
    const isNew = one.from === boundary;
    return [one.name, isNew ? (one.isWithin ? within(one) : current) : before(one.name)] as const;
  });
  const streams = expectedAt(layout, boundary).map(
    (name, index) => [name, isGiven ? expected(name, index) : before(name)] as const,
  );
  return Object.fromEntries([...carried, ...streams]);
}

/** True if the part before a boundary outputs several streams. */
const givesStreams = (layout: Stated, boundary: number): boolean =>
  boundary === 0 || changesStreams(endsBefore(layout, boundary));

/** Names of the state values besides the residual stream that the part before a boundary outputs. */
export const stateOutputsAt = (layout: Stated, boundary: number): string[] => [
  ...layout.carried
    .filter(({ from, isWithin }) => isWithin && from === boundary)
    .map(({ name }) => name),
  ...(givesStreams(layout, boundary) ? expectedAt(layout, boundary) : []),
];

/** Names of the carried streams that a sublayer reads. */
export const carriedStreamsReadBy = ({ keysBlock }: Sublayer): string[] =>
  keysBlock === undefined ? [] : [carriedName(keysBlock)];
