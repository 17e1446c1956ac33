import type { HeatmapCalls, HeatmapState } from '../../extension/protocol/heatmap';
import type { Panel } from '../kit/start-panel';
import type { View } from './view-state';

export type HeatmapPanel = Panel<HeatmapState, HeatmapCalls, View>;
