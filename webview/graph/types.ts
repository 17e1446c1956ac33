import type { ShownPatch } from '../../extension/protocol/heatmap';

/** A graph as the host tells of it. */
export type Graph = NonNullable<ShownPatch['graph']>;
