import type { Drift } from '../../extension/protocol/heatmap';
import { formatCount, formatPercent, formatShare } from '../format';
import { strings } from '../strings';
import { logScale } from './log-scale';
import type { LogScale } from './log-scale';
import { joinSentences } from '../translate';

/** Less is no drift that anybody would look for: rounding. */
const leastShown = 0.001;

/** Scale of relative errors; undefined if nothing was measured. */
export function driftScale(errors: readonly number[]): LogScale | undefined {
  return logScale(errors.map((error) => Math.max(error, leastShown)));
}

/** Sublayer where drift starts, and the tokens with the largest drift there. */
export function startsText({ starts, startsAt = [], limit }: Drift): string {
  if (starts === undefined) return strings.driftStaysBelow(formatShare(limit));
  const start = strings.driftStarts(formatShare(limit), starts);
  const places = startsAt.map(({ token, position, relativeError }) =>
    token === undefined
      ? strings.driftAtPosition(formatCount(position), formatPercent(relativeError))
      : strings.driftAtToken(
          JSON.stringify(token),
          formatCount(position),
          formatPercent(relativeError),
        ),
  );
  return places.length === 0 ? start : joinSentences([start, strings.driftMostAt(places)]);
}
