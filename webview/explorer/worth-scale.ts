import { logScale } from '../charts/log-scale';
import type { Worth } from './types';

/** What sublayers are worth, on the scale of the heatmap's colours. */
export interface WorthScale {
  readonly metric: string;
  readonly min: number;
  readonly max: number;
  readonly stale: boolean;
  /** Of a sublayer, or of its block where only blocks were measured. */
  of(id: string): { readonly distance: number; readonly position: number } | undefined;
}

/** Undefined where nothing was measured. */
export function worthScale(worth: Worth | undefined): WorthScale | undefined {
  const scale = logScale((worth?.sublayers ?? []).map(({ distance }) => distance));
  if (worth === undefined || scale === undefined) return undefined;
  const byId = new Map(worth.sublayers.map(({ id, distance }) => [id, distance]));
  const blockOf = (id: string) => id.split('.').slice(0, 2).join('.');
  return {
    ...{ metric: worth.metric, min: scale.min, max: scale.max, stale: worth.stale },
    of: (id) => {
      const distance = byId.get(id) ?? byId.get(blockOf(id));
      return distance === undefined ? undefined : { distance, position: scale.position(distance) };
    },
  };
}
