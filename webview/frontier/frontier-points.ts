import type { KnownLoss, OfferedType, PrunedSize } from '../../extension/protocol/frontier';
import { formatChange } from '../../extension/core/format';
import { formatDistance } from '../format';
import { listed, tell } from '../translate';
import { strings } from './strings';
import type { PointKind } from './strings';

/** A model of some size. Kinds are the series of the chart. */
export interface FrontierPoint {
  readonly kind: PointKind;
  readonly name: string;
  /** In the unit of the chart. */
  readonly size: number;
  /** Distance, by the metric of the chart. */
  readonly loss: number;
  /** False if the loss is predicted. */
  readonly isMeasured: boolean;
  /** Details about its loss or its changes. */
  readonly note: string;
}

/** KL divergence over the Jensen-Shannon divergence, if both are small. */
const klOverJs = 4;

/**
 * Loss by a metric, from the KL divergence or the perplexity; undefined if it doesn't follow from them.
 * @param original perplexity of the original, if the metric is perplexity
 */
export function lossIn(
  metric: string,
  { klDivergence, perplexityRatio }: KnownLoss,
  original: number,
): number | undefined {
  switch (metric) {
    case 'kl':
      return klDivergence;
    case 'js':
    case 'js-reference':
      return klDivergence === undefined ? undefined : klDivergence / klOverJs;
    case 'perplexity':
      return original > 0 ? (perplexityRatio - 1) * original : undefined;
    default:
      return undefined;
  }
}

/** Types whose loss is known, and best mixes that were made. Other mixes are plans and have no points of their own. */
export function typePoints(
  types: readonly OfferedType[],
  metric: string,
  original: number,
): FrontierPoint[] {
  return types.flatMap(({ size: name, mix, bytes: size, known, isForbidden }): FrontierPoint[] => {
    const loss = known && lossIn(metric, known, original);
    if (isForbidden || known === undefined || loss === undefined || loss <= 0) {
      return [];
    }
    const { isMeasured } = known;
    const point = { size, loss, isMeasured, note: lossNote(known) };
    return mix === undefined
      ? [{ kind: 'type', name, ...point }]
      : isMeasured
        ? [{ kind: 'made', name: tell(mix), ...point }]
        : [];
  });
}

/** Source of the loss of a type. */
function lossNote({ klDivergence, perplexityRatio, isMeasured }: KnownLoss): string {
  const numbers = listed([
    ...(klDivergence === undefined ? [] : [strings.divergence(formatDistance(klDivergence))]),
    strings.perplexity(formatChange(1, perplexityRatio)),
  ]);
  return isMeasured ? strings.evaluated(numbers) : strings.published(numbers);
}

export const prunedPoints = (pruned: readonly PrunedSize[], original: number): FrontierPoint[] =>
  pruned.map(({ rounds, bytes, distance }) => ({
    kind: 'pruned',
    name: strings.rounds(rounds),
    ...{ size: bytes, loss: distance - original },
    isMeasured: true,
    note: '',
  }));
