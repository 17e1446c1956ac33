import type { PlaygroundCalls, PlaygroundState } from '../../extension/protocol/playground';
import { startPanel } from '../kit/start-panel';
import { Main } from './main-view';
import './playground.css';
import { strings } from './strings';
import { savedView } from './view-state';
import type { View } from './view-state';

startPanel<PlaygroundState, PlaygroundCalls, View>({
  view: savedView,
  Main,
  loading: strings.loading,
});
