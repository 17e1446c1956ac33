import type { CompressionCalls, CompressionState } from '../../extension/protocol/compression';
import { startPanel } from '../kit/start-panel';
import './compression.css';
import { Main } from './main-view';
import { strings } from './strings';
import { savedView } from './view-state';
import type { View } from './view-state';

startPanel<CompressionState, CompressionCalls, View>({
  view: savedView,
  Main,
  loading: strings.loading,
});
