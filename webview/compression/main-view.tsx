import type { VNode } from 'preact';
import { useMemo } from 'preact/hooks';
import { JobLine } from '../components/job-line';
import { EmptyState } from '../components/notice';
import { Section } from '../components/section';
import { AfterPaint } from '../kit/after-paint';
import { Budget } from './budget-section';
import { tableSchemes } from './cells';
import { Details } from './details';
import { reasonAgainst, resumesMeasuring } from './frame';
import type { PlannedFrame } from './frame';
import { Front } from './front';
import { Header } from './header';
import { Changes, Limits } from './limits';
import { strings as common } from '../strings';
import { strings } from './strings';
import type { CompressionPanel } from './compression-panel';
import { Types } from './types-list';
import { useBudget } from './use-budget';

/** Sizes to choose from, the plan of one, and the details. */
function Planning({ panel, frame }: PlanningProps): VNode {
  const asked = useBudget(panel, panel.view.value.form, frame);
  return (
    <>
      <div class="columns even">
        <Front panel={panel} frame={frame} asked={asked} />
        <Budget panel={panel} frame={frame} asked={asked} />
      </div>
      <Details panel={panel}>
        <Section id="limits-title" class="limits-section" title={strings.limits}>
          <Limits panel={panel} table={frame.table} asked={asked} />
          <Changes panel={panel} table={frame.table} schemes={frame.schemes} />
        </Section>
      </Details>
    </>
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
  const table = panel.get('table');
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
      {table === undefined && canPlan && !isActive && !resumesMeasuring(job) && (
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
      {!canPlan && (
        <Types panel={panel} types={panel.get('types')} hasChart={table === undefined} />
      )}
    </div>
  );
}
