import type { ExplorerCalls, ExplorerState } from '../../extension/protocol/explorer';
import { startPanel } from '../kit/start-panel';
import './explorer.css';
import { Main } from './main-view';
import { strings } from './strings';
import { savedView } from './view-state';
import type { View } from './view-state';

startPanel<ExplorerState, ExplorerCalls, View>({
  view: savedView,
  Main,
  loading: strings.loading,
});
