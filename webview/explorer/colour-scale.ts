import { distanceWord } from '../../extension/core/change-size';
import { driftScale, startsText } from '../charts/drift-scale';
import { logScale } from '../charts/log-scale';
import { fileName } from '../file-name';
import { formatCount, formatDistance, formatPercent, formatShare } from '../format';
import { strings } from './strings';
import { listed, tell } from '../translate';
import type { Diagram, DiagramNode, Drift, Importance } from './types';

/** What of a box is coloured. */
type Coloured = Pick<DiagramNode, 'sublayers' | 'value'>;

/** What the colours of the diagram show, and its words. */
export interface ColourScale {
  readonly legend: string;
  /** What the ends mean, with their numbers. */
  readonly low: string;
  readonly high: string;
  readonly note?: string | undefined;
  /** Why it may not be true. */
  readonly warning?: string | undefined;
  /** Where what a box stands for is on the scale, from 0 to 1; undefined for a part of it that nothing is known of. */
  positions(box: Coloured): readonly (number | undefined)[];
  /** What is told of a box as a whole; undefined where nothing is known of it, or it says so itself. */
  told(box: Coloured): string | undefined;
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
    positions: ({ sublayers }) =>
      sublayers.map((id) => {
        const distance = distanceOf(id);
        return distance === undefined ? undefined : scale.position(distance);
      }),
    told: ({ sublayers }) => {
      const known = sublayers.flatMap((id) => distanceOf(id) ?? []);
      if (known.length === 0) return undefined;
      const most = Math.max(...known);
      const ends = [...new Set([Math.min(...known), most].map(formatDistance))];
      const word = distanceWord(importance.metric, most);
      const told = strings.importanceOf(ends.join(' – '));
      return word === undefined ? told : listed([told, tell(word)]);
    },
  };
}

/** How far states behind sublayers drift from the original's. */
export function driftColours(drift: Drift | undefined): ColourScale | undefined {
  const scale = drift && driftScale(drift.sublayers.map(({ relativeError }) => relativeError));
  if (drift === undefined || scale === undefined) return undefined;
  const byId = new Map(drift.sublayers.map((one) => [one.sublayer, one]));
  return {
    legend: strings.driftLegend,
    low: formatShare(scale.min),
    high: formatShare(scale.max),
    note: startsText(drift),
    positions: ({ sublayers }) =>
      sublayers.map((id) => {
        const known = byId.get(id);
        return known && scale.position(known.relativeError);
      }),
    told: ({ sublayers }) => {
      const [worst] = sublayers
        .flatMap((id) => byId.get(id) ?? [])
        .sort((a, b) => b.relativeError - a.relativeError);
      return worst && strings.driftOf(formatPercent(worst.relativeError));
    },
  };
}

/** The numbers of a file, of each box the largest; undefined where the diagram has none. */
export function valueColours(values: Diagram['values']): ColourScale | undefined {
  if (values === undefined) return undefined;
  const { file, count, found, least, most } = values;
  // Times and errors span powers of ten; numbers of both signs have no logarithms.
  const logarithmic = least > 0 ? logScale([least, most]) : undefined;
  const linear = (value: number) => (most === least ? 0.5 : (value - least) / (most - least));
  return {
    legend: strings.valuesLegend(fileName(file), logarithmic !== undefined),
    low: formatDistance(least),
    high: formatDistance(most),
    note: strings.valuesFound(formatCount(found), formatCount(count)),
    positions: ({ value }) =>
      value === undefined ? [] : [logarithmic?.position(value.most) ?? linear(value.most)],
    told: () => undefined,
  };
}
