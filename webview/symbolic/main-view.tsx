import type { VNode } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { Button } from '../components/controls';
import { JobLine } from '../components/job-line';
import { EmptyState, Failure } from '../components/notice';
import { formatPercent } from '../format';
import { Details } from './details';
import { Header } from './header';
import { Library } from './library';
import { selectedPlace } from './population';
import { Population } from './population-list';
import { Spread } from './spread';
import { strings } from './strings';
import type { SymbolicPanel } from './symbolic-panel';
import type { Evolution } from './types';

/** An evolution: its numbers, its graphs, and all of the selected one. */
export function Main({ panel }: { readonly panel: SymbolicPanel }): VNode {
  const [evolution, failure] = [panel.get('evolution'), panel.get('failure')];
  useLatestAnnounced(panel, evolution);
  if (failure !== undefined) {
    return (
      <Failure title={strings.failed} message={failure}>
        <Button primary label={strings.tryAgain} onClick={panel.run.reload} />
        <Button label={strings.openText} onClick={panel.run.openText} />
      </Failure>
    );
  }
  if (evolution === undefined) return <p class="muted loading">{strings.loading}</p>;
  return (
    <div>
      <Header panel={panel} evolution={evolution} />
      <JobLine
        name={strings.jobLine}
        job={panel.get('job')}
        words={words}
        blocked={panel.get('blocked')}
        primaryResume
        onCancel={panel.run.cancel}
        onResume={panel.run.resume}
        announce={panel.announce}
      />
      {evolution.iterations.length === 0 ? (
        <EmptyState
          id="waiting-title"
          title={strings.waiting}
          text={panel.get('job').kind === 'running' ? strings.waitingText : strings.stoppedText}
        />
      ) : (
        <Results panel={panel} evolution={evolution} />
      )}
    </div>
  );
}

const words = {
  jobProgress: () => strings.jobProgress,
  starting: () => strings.jobStarting,
  stopped: (_: string, reason: keyof typeof strings.stopped) => strings.stopped[reason],
};

interface ResultsProps {
  readonly panel: SymbolicPanel;
  readonly evolution: Evolution;
}

function Results({ panel, evolution }: ResultsProps): VNode {
  const selected = selectedPlace(evolution, panel.view.value.selected);
  return (
    <div>
      <Spread
        evolution={evolution}
        selected={selected}
        onPick={(place) => {
          panel.setView({ iteration: place.iteration, selected: place });
        }}
      />
      <div class="columns modules">
        <Population panel={panel} evolution={evolution} selected={selected} />
        <Details panel={panel} evolution={evolution} place={selected} />
      </div>
      <Library evolution={evolution} />
    </div>
  );
}

/** Says which network was trained last, while more are. */
function useLatestAnnounced(panel: SymbolicPanel, evolution: Evolution | undefined): void {
  const isRunning = panel.get('job').kind === 'running';
  const iterations = evolution?.iterations ?? [];
  const trained = iterations.reduce((sum, { models }) => sum + models.length, 0);
  const last = useRef(trained);
  useEffect(() => {
    const model = iterations.at(-1)?.models.at(-1);
    if (isRunning && model !== undefined && trained !== last.current) {
      panel.announce(strings.announceModel(model.name, formatPercent(model.metrics.test)));
    }
    last.current = trained;
  }, [trained]);
}
