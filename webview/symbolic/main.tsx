import type { SymbolicCalls, SymbolicState } from '../../extension/protocol/symbolic';
import { startPanel } from '../kit/start-panel';
import './symbolic.css';
import { Main } from './main-view';
import { strings } from './strings';
import { savedView } from './view-state';
import type { View } from './view-state';

startPanel<SymbolicState, SymbolicCalls, View>({
  view: savedView,
  Main,
  loading: strings.loading,
});
