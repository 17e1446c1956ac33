import { driftScale, startsText } from '../charts/drift-scale';
import { logScale } from '../charts/log-scale';
import { formatDistance, formatPercent } from '../format';
import { strings } from './strings';
import type { Drift, Importance } from './types';

/** What sublayers have in common that the colours of the diagram show, and its words. */
export interface ColourScale {
  readonly legend: string;
  /** What the ends mean, with their numbers. */
  readonly low: string;
  readonly high: string;
  readonly note?: string | undefined;
  /** Why it may not be true. */
  readonly warning?: string | undefined;
  /** Where a sublayer is on the scale, from 0 to 1. */
  position(id: string): number | undefined;
  /** What is told of some sublayers together; undefined where nothing is known of them. */
  told(ids: readonly string[]): string | undefined;
}

/** The importance of sublayers, on the scale of the heatmap's colours; undefined where nothing was measured. */
export function importanceScale(importance: Importance | undefined): ColourScale | undefined {
  const scale = logScale((importance?.sublayers ?? []).map(({ distance }) => distance));
  if (importance === undefined || scale === undefined) return undefined;
  const byId = new Map(importance.sublayers.map(({ id, distance }) => [id, distance]));
  const blockOf = (id: string) => id.split('.').slice(0, 2).join('.');
  // Or of its block, where only blocks were measured.
  const distanceOf = (id: string) => byId.get(id) ?? byId.get(blockOf(id));
  return {
    legend: strings.importanceLegend(importance.metric),
    low: `${strings.cheap} ${formatDistance(scale.min)}`,
    high: `${formatDistance(scale.max)} ${strings.important}`,
    warning: importance.stale ? strings.importanceStale : undefined,
    position: (id) => {
      const distance = distanceOf(id);
      return distance === undefined ? undefined : scale.position(distance);
    },
    told: (ids) => {
      const known = ids.flatMap((id) => distanceOf(id) ?? []);
      const ends = [...new Set([Math.min(...known), Math.max(...known)])];
      return known.length === 0
        ? undefined
        : strings.importanceOf(ends.map(formatDistance).join(' – '));
    },
  };
}

/** How far states behind sublayers drift from the original's. */
export function driftColours(drift: Drift | undefined): ColourScale | undefined {
  const scale = drift && driftScale(drift.sublayers);
  if (drift === undefined || scale === undefined) return undefined;
  const byId = new Map(drift.sublayers.map((one) => [one.sublayer, one]));
  return {
    legend: strings.driftLegend,
    low: formatPercent(scale.min),
    high: formatPercent(scale.max),
    note: startsText(drift),
    position: (id) => {
      const known = byId.get(id);
      return known && scale.position(known.relativeError);
    },
    told: (ids) => {
      const [worst] = ids
        .flatMap((id) => byId.get(id) ?? [])
        .sort((a, b) => b.relativeError - a.relativeError);
      return worst && strings.driftOf(formatPercent(worst.relativeError));
    },
  };
}
