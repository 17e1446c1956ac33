import type { VNode } from 'preact';
import { useMemo } from 'preact/hooks';
import { JobLine } from '../components/job-line';
import { EmptyState } from '../components/notice';
import { AfterPaint } from '../kit/after-paint';
import { Budget } from './budget-form';
import { tableSchemes } from './cells';
import { Findings } from './findings';
import { reasonAgainst, resumesMeasuring, useFrame } from './frame';
import type { PlannedFrame } from './frame';
import { Front } from './front';
import { Header } from './header';
import { Layers } from './layers';
import { SensitivityGrid } from './sensitivity-grid';
import { strings as common } from '../strings';
import { strings } from './strings';
import type { CompressionPanel } from './compression-panel';
import { Types } from './types-list';
import { useBudget } from './use-budget';

/** Budget form of a plan, and the sizes to choose from. */
function Planning({ panel, frame }: PlanningProps): VNode {
  const asked = useBudget(panel, panel.view.value.form, frame);
  return (
    <div class="columns even">
      <Front panel={panel} frame={frame} asked={asked} />
      <Budget panel={panel} frame={frame} asked={asked} />
    </div>
  );
}

interface PlanningProps {
  readonly panel: CompressionPanel;
  readonly frame: PlannedFrame;
}

/** Redrawn only for a new table: measurements in progress do not change the plan. */
function usePlanning(panel: CompressionPanel): VNode | undefined {
  const table = panel.get('table');
  return useMemo(
    () =>
      table && (
        <AfterPaint>
          <Planning panel={panel} frame={{ table, schemes: tableSchemes(table) }} />
        </AfterPaint>
      ),
    [panel, table],
  );
}

/** Cost of compressing each linear layer, and a plan for a budget. */
export function Main({ panel }: { readonly panel: CompressionPanel }): VNode {
  const job = panel.get('job');
  const canPlan = panel.get('canPlan');
  const frame = useFrame(panel);
  const planning = usePlanning(panel);
  const isActive = job.kind === 'running' || job.kind === 'queued';
  return (
    <div>
      <Header panel={panel} />
      <JobLine
        name={common.job}
        job={job}
        words={strings}
        onCancel={panel.run.cancel}
        // The header has a button of its own for a measurement.
        onResume={resumesMeasuring(job) ? undefined : panel.run.resume}
        onShowLog={panel.run.showLog}
        announce={panel.announce}
      />
      {!canPlan && <Types panel={panel} types={panel.get('types')} />}
      {frame === undefined && canPlan && !isActive && !resumesMeasuring(job) && (
        <EmptyState
          id="empty-title"
          title={strings.empty}
          text={strings.emptyDetail}
          action={{
            ...{ label: strings.profile, title: strings.profileTitle, primary: true },
            reason: reasonAgainst(panel),
            onClick: panel.run.profile,
          }}
        />
      )}
      {planning}
      {frame?.cells !== undefined && frame.shown !== undefined && (
        <SensitivityGrid panel={panel} frame={frame} cells={frame.cells} shown={frame.shown} />
      )}
      {frame?.cells !== undefined && (
        <AfterPaint>
          <Layers panel={panel} cells={frame.cells} />
          <Findings findings={panel.get('findings')} />
        </AfterPaint>
      )}
    </div>
  );
}
