import { logScale } from '../charts/log-scale';
import type { Importance } from './types';

/** The importance of sublayers, on the scale of the heatmap's colours. */
export interface ImportanceScale {
  readonly metric: string;
  readonly min: number;
  readonly max: number;
  readonly stale: boolean;
  /** Of a sublayer, or of its block where only blocks were measured. */
  of(id: string): { readonly distance: number; readonly position: number } | undefined;
}

/** Undefined where nothing was measured. */
export function importanceScale(importance: Importance | undefined): ImportanceScale | undefined {
  const scale = logScale((importance?.sublayers ?? []).map(({ distance }) => distance));
  if (importance === undefined || scale === undefined) return undefined;
  const byId = new Map(importance.sublayers.map(({ id, distance }) => [id, distance]));
  const blockOf = (id: string) => id.split('.').slice(0, 2).join('.');
  return {
    ...{ metric: importance.metric, min: scale.min, max: scale.max, stale: importance.stale },
    of: (id) => {
      const distance = byId.get(id) ?? byId.get(blockOf(id));
      return distance === undefined ? undefined : { distance, position: scale.position(distance) };
    },
  };
}
