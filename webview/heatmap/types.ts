import type { HeatmapState, ShownProfile } from '../../extension/protocol/heatmap';

export type { Mark, ShownProfile } from '../../extension/protocol/heatmap';

export type ModelSummary = HeatmapState['model'];
export type SublayerSummary = ModelSummary['sublayers'][number];
export type SublayerKind = SublayerSummary['kind'];
export type Round = ShownProfile['rounds'][number];
export type Evaluation = ShownProfile['evaluations'][number];
export type BaselineName = keyof ShownProfile['baselines'];
