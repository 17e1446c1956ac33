import { distanceLabel } from '../../extension/core/quality-labels';
import { driftScale, startsText } from '../charts/drift-scale';
import { logScale } from '../charts/log-scale';
import { fileName } from '../file-name';
import { formatCount, formatDistance, formatPercent, formatShare } from '../format';
import { strings } from './strings';
import { listed, tell } from '../translate';
import type { Diagram, DiagramNode, Drift, Importance } from './types';

/** Colored parts of a box. */
type Colored = Pick<DiagramNode, 'sublayers' | 'value'>;

/** Color scale of the diagram, with its texts. */
export interface ColorScale {
  readonly legend: string;
  /** Labels of the ends, with their numbers. */
  readonly low: string;
  readonly high: string;
  readonly note?: string | undefined;
  /** Reason why the colors may be wrong. */
  readonly warning?: string | undefined;
  /** Position of each part of a box on the scale, from 0 to 1; undefined if unknown. */
  positions(box: Colored): readonly (number | undefined)[];
  /** Description of the box; undefined if nothing is known of it, or its own text says so. */
  describe(box: Colored): string | undefined;
}

/** Importance of the sublayers, on the heatmap's color scale; undefined if nothing was measured. */
export function importanceScale(importance: Importance | undefined): ColorScale | undefined {
  const scale = logScale((importance?.sublayers ?? []).map(({ distance }) => distance));
  if (importance === undefined || scale === undefined) return undefined;
  const byId = new Map(importance.sublayers.map(({ id, distance }) => [id, distance]));
  const blockId = (id: string) => id.split('.').slice(0, 2).join('.');
  // Falls back to the block, if only blocks were measured.
  const findDistance = (id: string) => byId.get(id) ?? byId.get(blockId(id));
  return {
    legend: strings.importanceLegend(importance.metric),
    low: `${strings.cheap} ${formatDistance(scale.min)}`,
    high: `${formatDistance(scale.max)} ${strings.important}`,
    warning: importance.stale ? strings.importanceStale : undefined,
    positions: ({ sublayers }) =>
      sublayers.map((id) => {
        const distance = findDistance(id);
        return distance === undefined ? undefined : scale.position(distance);
      }),
    describe: ({ sublayers }) => {
      const known = sublayers.flatMap((id) => findDistance(id) ?? []);
      if (known.length === 0) return undefined;
      const most = Math.max(...known);
      const ends = [...new Set([Math.min(...known), most].map(formatDistance))];
      const word = distanceLabel(importance.metric, most);
      const range = strings.importanceOf(ends.join(' – '));
      return word === undefined ? range : listed([range, tell(word)]);
    },
  };
}

/** Color scale of the drift after each sublayer. */
export function driftColors(drift: Drift | undefined): ColorScale | undefined {
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
    describe: ({ sublayers }) => {
      const [worst] = sublayers
        .flatMap((id) => byId.get(id) ?? [])
        .sort((a, b) => b.relativeError - a.relativeError);
      return worst && strings.driftOf(formatPercent(worst.relativeError));
    },
  };
}

/** Largest value of each box, from a file; undefined if the diagram has none. */
export function valueColors(values: Diagram['values']): ColorScale | undefined {
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
    describe: () => undefined,
  };
}
