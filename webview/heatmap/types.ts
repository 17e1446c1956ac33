import type { FromHeatmap, HeatmapState, ProfileState } from '../../extension/protocol/heatmap';

export type ModelSummary = HeatmapState['model'];
export type SublayerSummary = ModelSummary['sublayers'][number];
export type SublayerKind = SublayerSummary['kind'];
export type Round = ProfileState['rounds'][number];
export type CandidateDistance = ProfileState['candidates'][number];
export type BaselineName = keyof ProfileState['baselines'];

/** What the user wants done with a sublayer. */
export type Mark = Extract<FromHeatmap, { type: 'setMark' }>['mark'];

/** What the parts of the panel tell the host, directly or through a draft of the panel. */
export type Send = (message: FromHeatmap) => void;
