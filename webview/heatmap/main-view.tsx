import { useComputed } from '@preact/signals';
import type { VNode } from 'preact';
import { useEffect, useMemo } from 'preact/hooks';
import { JobLine } from '../components/job-line';
import { EmptyState } from '../components/notice';
import { AfterPaint } from '../kit/after-paint';
import { strings as frontier } from '../frontier/strings';
import { strings as common } from '../strings';
import { Answer } from './answer';
import { findAvailability, isEmpty, isWhole, resumesProfile } from './availability';
import { Candidates } from './candidates';
import { ConfigPreview } from './config/config-preview';
import { CurveSection } from './curves/curve-section';
import { useFrame } from './frame';
import type { Frame } from './frame';
import { Header } from './header';
import { HeatmapSection } from './heatmap-section';
import { Removal } from './removal';
import { expandSublayers, sumSelection } from './selection';
import { SizeAndLoss } from './size-and-loss';
import { strings } from './strings';
import type { HeatmapPanel } from './heatmap-panel';

interface PanelProps {
  readonly panel: HeatmapPanel;
}

/** Importance of each sublayer, the selection to remove, and its savings and cost. */
export function Main({ panel }: PanelProps): VNode {
  const frame = useFrame(panel);
  const { selected, cells } = frame;
  const isNew = useComputed(() =>
    isEmpty({ profile: panel.get('profile'), job: panel.get('job') }),
  ).value;
  const hasChanges = !isWhole(selected);
  const hasAnswer = !isNew || hasChanges;
  const { removed, model, widthPruned } = selected;
  const totals = useMemo(
    () => sumSelection(expandSublayers(removed, model), model, widthPruned),
    [removed, model, widthPruned],
  );
  useUndoKeys(frame);
  return (
    <div>
      <Header panel={panel} frame={frame} />
      <Job panel={panel} />
      {isNew && <NoProfile panel={panel} frame={frame} />}
      {hasAnswer ? (
        <Answer panel={panel} frame={frame} totals={totals} />
      ) : (
        <AfterPaint>
          <section class="answer" aria-label={frontier.title}>
            <SizeAndLoss panel={panel} frame={frame} left={model.bytes} />
          </section>
        </AfterPaint>
      )}
      <HeatmapSection panel={panel} frame={frame} />
      {hasAnswer && (
        <AfterPaint>
          <Removal panel={panel} frame={frame} totals={totals} />
        </AfterPaint>
      )}
      <div class="columns">
        <div class="column">
          {!isNew && (
            <AfterPaint>
              <CurveSection panel={panel} frame={frame} />
            </AfterPaint>
          )}
          {hasAnswer && (
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

/** Ctrl+Z and Ctrl+Y, or Cmd+Z and Shift+Cmd+Z, except in text fields. */
function useUndoKeys({ change }: Frame): void {
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      const { ctrlKey, metaKey, altKey, shiftKey, target } = event;
      const key = event.key.toLowerCase();
      const isRedo = (key === 'z' && shiftKey) || (key === 'y' && !shiftKey);
      const isField = target instanceof Element && target.closest('vscode-text-field') !== null;
      if (!(ctrlKey || metaKey) || altKey || isField || !(isRedo || key === 'z')) return;
      event.preventDefault();
      change(isRedo ? 'redo' : 'undo');
    };
    document.addEventListener('keydown', pressed);
    return () => {
      document.removeEventListener('keydown', pressed);
    };
  }, [change]);
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
  readonly frame: Frame;
}

/** Actions for a model that has not been profiled. */
function NoProfile({ panel, frame }: NoProfileProps): VNode {
  const { profile: reason } = findAvailability({
    ...frame.selected,
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
        onClick: frame.run.profile,
      }}
    />
  );
}
