import type { HeatmapCalls, HeatmapState } from '../../extension/protocol/heatmap';
import { startPanel } from '../kit/start-panel';
import './heatmap.css';
import { Main } from './main-view';
import { strings } from './strings';
import { savedView } from './view-state';
import type { View } from './view-state';

startPanel<HeatmapState, HeatmapCalls, View>({
  view: savedView,
  Main,
  loading: strings.loading,
});
