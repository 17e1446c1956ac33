import type { SmallerCalls, SmallerState } from '../../extension/protocol/smaller';
import { startPanel } from '../kit/start-panel';
import { Main } from './main-view';
import './smaller.css';
import { strings } from './strings';
import { savedView } from './view-state';
import type { View } from './view-state';

startPanel<SmallerState, SmallerCalls, View>({
  view: savedView,
  Main,
  loading: strings.loading,
});
