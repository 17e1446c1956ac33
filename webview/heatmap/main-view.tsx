import { useComputed } from '@preact/signals';
import type { VNode } from 'preact';
import { JobLine } from '../components/job-line';
import { EmptyState } from '../components/notice';
import { AfterPaint } from '../kit/after-paint';
import { strings as common } from '../strings';
import { availabilityOf, isEmpty, isWhole, resumesProfile } from './availability';
import { Candidates } from './candidates';
import { ConfigPreview } from './config/config-preview';
import { CurveSection } from './curves/curve-section';
import type { Selected } from './draft';
import { useFrame } from './frame';
import { Header } from './header';
import { HeatmapSection } from './heatmap-section';
import { Removal } from './removal';
import { strings } from './strings';
import type { HeatmapPanel } from './heatmap-panel';

interface PanelProps {
  readonly panel: HeatmapPanel;
}

/** How important each sublayer is, what is to be removed, and what that saves and costs. */
export function Main({ panel }: PanelProps): VNode {
  const frame = useFrame(panel);
  const { selected, cells } = frame;
  const isNew = useComputed(() =>
    isEmpty({ profile: panel.get('profile'), job: panel.get('job') }),
  ).value;
  const hasChanges = !isWhole(selected);
  return (
    <div>
      <Header panel={panel} selected={selected} />
      <Job panel={panel} />
      {isNew && <NoProfile panel={panel} selected={selected} />}
      <HeatmapSection panel={panel} frame={frame} />
      {(!isNew || hasChanges) && (
        <AfterPaint>
          <Removal panel={panel} frame={frame} />
        </AfterPaint>
      )}
      <div class="columns">
        <div class="column">
          {!isNew && (
            <AfterPaint>
              <CurveSection panel={panel} frame={frame} />
            </AfterPaint>
          )}
          {(!isNew || hasChanges) && (
            <AfterPaint>
              <ConfigPreview panel={panel} hasChanges={hasChanges} />
            </AfterPaint>
          )}
        </div>
        <AfterPaint>
          <Candidates panel={panel} cells={cells.cells} onMark={frame.setMark} />
        </AfterPaint>
      </div>
    </div>
  );
}

function Job({ panel }: PanelProps): VNode {
  const job = panel.get('job');
  return (
    <JobLine
      name={common.job}
      job={job}
      words={strings}
      onCancel={panel.run.cancel}
      // The header has a button of its own for a search.
      onResume={resumesProfile(job) ? undefined : panel.run.resume}
      onShowLog={panel.run.showLog}
      announce={panel.announce}
    />
  );
}

interface NoProfileProps extends PanelProps {
  readonly selected: Selected;
}

/** What to do with a model that has not been profiled. */
function NoProfile({ panel, selected }: NoProfileProps): VNode {
  const { profile: reason } = availabilityOf({
    ...selected,
    job: panel.get('job'),
    blocked: panel.get('blocked'),
    cannot: panel.get('cannot'),
  });
  return (
    <EmptyState
      id="empty-title"
      title={strings.empty}
      text={strings.emptyDetail}
      action={{
        ...{ label: strings.profile, title: strings.profileTitle, primary: true, reason },
        onClick: panel.run.profile,
      }}
    />
  );
}
