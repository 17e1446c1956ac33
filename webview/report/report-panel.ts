import type { ReportCalls, ReportState } from '../../extension/protocol/report';
import type { Panel } from '../kit/start-panel';
import type { View } from './view-state';

export type ReportPanel = Panel<ReportState, ReportCalls, View>;
export type ReportSection = ReportState['report']['sections'][number];
