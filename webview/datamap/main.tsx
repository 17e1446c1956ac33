import type { DataMapCalls, DataMapState } from '../../extension/protocol/datamap';
import { startPanel } from '../kit/start-panel';
import './datamap.css';
import { Main } from './main-view';
import { strings } from './strings';
import { savedView } from './view-state';
import type { View } from './view-state';

startPanel<DataMapState, DataMapCalls, View>({
  view: savedView,
  Main,
  loading: strings.loading,
});
