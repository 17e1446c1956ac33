import type { ReportCalls, ReportState } from '../../extension/protocol/report';
import { startPanel } from '../kit/start-panel';
import { Main } from './main-view';
import './report.css';
import { strings } from './strings';
import { savedView } from './view-state';
import type { View } from './view-state';

startPanel<ReportState, ReportCalls, View>({
  view: savedView,
  Main,
  loading: strings.loading,
});
