import type { TransformerSublayer } from './transformer-sublayer';

/** A stream that is part of the state beside the residual one, for attentions that make keys and values of it. */
export interface CarriedStream {
  readonly name: string;
  /** Boundary at which it is the residual stream; boundary i is in front of sublayer i. */
  readonly from: number;
  /** The last boundary at which it is part of the state. */
  readonly until: number;
}

/** Name of the stream in front of a block's attention. */
export const carriedName = (block: number): string => `stream.${block}`;

/**
 * Streams that attentions read besides their own.
 * @param places number of sublayers in front of each block
 */
export function carriedStreams(
  sublayers: readonly TransformerSublayer[],
  places: readonly number[],
): CarriedStream[] {
  const until = new Map<number, number>();
  for (const [index, { kind, weights }] of sublayers.entries()) {
    if (kind === 'attention' && weights.othersKeys !== undefined) {
      until.set(weights.othersKeys.block, index);
    }
  }
  return [...until].map(([block, last]) => ({
    name: carriedName(block),
    from: places[block] ?? 0,
    until: last,
  }));
}

/** The carried streams at a boundary, by name, each being what is carried already or `current`, the residual stream there. */
export function carriedAt(
  carried: readonly CarriedStream[],
  boundary: number,
  current: string,
  before: (name: string) => string = (name) => name,
): Record<string, string> {
  return Object.fromEntries(
    carried
      .filter(({ from, until }) => from <= boundary && boundary <= until)
      .map(({ name, from }) => [name, from === boundary ? current : before(name)]),
  );
}

/** Names of the carried streams that a sublayer reads. */
export const carriedBy = ({ kind, weights }: TransformerSublayer): string[] =>
  kind === 'attention' && weights.othersKeys !== undefined
    ? [carriedName(weights.othersKeys.block)]
    : [];
