import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { Button } from '../components/controls';
import { JobLine } from '../components/job-line';
import { Failure } from '../components/notice';
import { AfterPaint } from '../kit/after-paint';
import { ScoreHistogram } from './charts';
import { focusMap } from './map/grouped-map';
import { Experiments } from './experiments';
import { Gallery } from './gallery';
import { unfiltered } from './gallery-query';
import type { Region } from './gallery-query';
import { Header } from './header';
import { LabelIssues } from './label-issues';
import { Maps } from './map/maps';
import { strings } from './strings';
import { Subset } from './subset';
import type { DataMap, DataMapPanel, Sought } from './types';
import type { ShownQuery } from './view-state';

/** Scores of a dataset, its examples, and the selected subset. */
export function Main({ panel }: { readonly panel: DataMapPanel }): VNode {
  const [map, failure] = [panel.get('map'), panel.get('failure')];
  if (failure !== undefined) {
    return (
      <Failure title={strings.failed} message={failure}>
        <Button primary label={strings.tryAgain} onClick={panel.run.reload} />
        <Button label={strings.openText} onClick={panel.run.openText} />
      </Failure>
    );
  }
  return map === undefined ? (
    <p class="muted loading">{strings.loading}</p>
  ) : (
    <Shown panel={panel} map={map} />
  );
}

interface ShownProps {
  readonly panel: DataMapPanel;
  readonly map: DataMap;
}

function Shown({ panel, map }: ShownProps): VNode {
  const { overview } = map;
  const [sought, setSought] = useState<Sought>();
  const [region, setRegion] = useState<Region>();
  const show = (change: Partial<ShownQuery>) => {
    setSought(undefined);
    panel.setView({ query: { ...panel.view.peek().query, ...change, page: 0 } });
    document.getElementById('gallery-title')?.scrollIntoView({ block: 'start' });
  };
  return (
    <div>
      <Header panel={panel} map={map} />
      <JobLine
        name={strings.exportLine}
        job={panel.get('job')}
        words={words}
        onCancel={panel.run.cancelExport}
        announce={panel.announce}
      />
      <div class="columns even">
        <ScoreHistogram overview={overview} />
        <Maps
          panel={panel}
          overview={overview}
          onPick={(index) => {
            setSought({ index, isCleared: false, hasArrived: false });
          }}
          onSelect={(selected) => {
            setRegion(selected);
            show({});
          }}
        />
      </div>
      <LabelIssues
        overview={overview}
        onShow={(label, predicted) => {
          setRegion(undefined);
          show({ ...unfiltered(panel.view.peek().query), label, predicted, issue: 'suspected' });
        }}
      />
      <Gallery
        panel={panel}
        overview={overview}
        region={region}
        onLeaveRegion={() => {
          setRegion(undefined);
        }}
        sought={sought}
        onSought={setSought}
        onBack={focusMap}
      />
      <AfterPaint>
        <div class="columns even">
          <Subset panel={panel} overview={overview} />
          <Experiments panel={panel} map={map} />
        </div>
      </AfterPaint>
    </div>
  );
}

const words = {
  jobProgress: () => strings.exportProgress,
  starting: () => strings.exportStarting,
  stopped: (_: string, reason: keyof typeof strings.exportStopped) => strings.exportStopped[reason],
};
