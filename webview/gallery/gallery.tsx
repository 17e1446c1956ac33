import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { BarContent } from '../charts/bar-chart';
import type { ChartContent } from '../charts/curve-chart';
import { logScale } from '../charts/log-scale';
import type { ScatterContent } from '../charts/scatter-chart';
import { BarPlot, CurvePlot, ScatterPlot } from '../components/charts';
import { Button, Checkbox, Dropdown, TextField } from '../components/controls';
import { Facts, Tile } from '../components/facts';
import { Histogram } from '../components/histogram';
import { Icon } from '../components/icons';
import { JobLine } from '../components/job-line';
import { GridLegend, Legend, LegendKey, SeriesSwitches } from '../components/legend';
import { EmptyState, Failure, Notice } from '../components/notice';
import { Notes, PageHeader } from '../components/page-header';
import { Actions, Folded, Section } from '../components/section';
import { Slider } from '../components/slider';
import { ScrollingTable, SortedTable, Table } from '../components/table';
import type { ColumnSort } from '../components/table';

const nothing = () => undefined;

/** Every shared component once, for tests and for those who build panels. */
export function Gallery(): VNode {
  return (
    <main>
      <PageHeader
        title="Components"
        tooltip="Every shared component once"
        tags={['llama', 'safetensors']}
        blocked="Trust this workspace to run jobs."
        actionsLabel="Actions"
        actions={
          <Button primary label="Profile" title="Measure every sublayer" onClick={nothing} />
        }
      >
        <Facts facts={[{ name: 'Size', value: '12.3 MiB', title: '12,345,678 bytes' }]} />
        <Notes title={(count) => `${count} warning`} texts={['The head is tied.']} open />
      </PageHeader>
      <Jobs />
      <Controls />
      <Numbers />
      <Tables />
      <Charts />
      <EmptyState
        id="empty-title"
        title="No profile yet"
        text="Every sublayer is left out in turn."
        action={{ label: 'Profile', primary: true, onClick: nothing }}
      />
      <Failure title="This file cannot be shown" message="a.json: line 3 is no JSON.">
        <Button label="Try Again" onClick={nothing} />
      </Failure>
      <Notice isAlert text="The profile was made for other weights." />
    </main>
  );
}

const words = {
  jobProgress: () => 'Progress',
  starting: () => 'Profiling is starting',
  stopped: () => 'Profiling failed.',
};

const progress = {
  done: 30,
  total: 120,
  unit: 'steps',
  stage: 'Round 2',
  secondsLeft: 65,
} as const;

function Jobs(): VNode {
  const of = { id: '1', name: 'Profiling', makesDocument: true } as const;
  const actions = { words, onCancel: nothing, onResume: nothing, announce: nothing };
  return (
    <>
      <JobLine name="Running job" job={{ kind: 'running', ...of, progress }} {...actions} />
      <JobLine
        name="Queued job"
        job={{ kind: 'queued', ...of, position: { place: 1, startsIn: 240, expected: 60 } }}
        {...actions}
      />
      <JobLine
        name="Stopped job"
        job={{
          ...{ kind: 'stopped', ...of, reason: 'failed' },
          ...{ message: 'Out of memory.', saved: 'Saved: 30 of 120 sublayers.' },
        }}
        onShowLog={nothing}
        {...actions}
      />
    </>
  );
}

/** More than the toolkit makes in time. */
const classes = Array.from({ length: 60 }, (_, i) => ({ value: `${i}`, label: `Class ${i}` }));

function Controls(): VNode {
  const [label, setLabel] = useState('0');
  const [checked, setChecked] = useState(true);
  const [order, setOrder] = useState<'best' | 'first'>('best');
  const [share, setShare] = useState(40);
  return (
    <Section
      id="controls-title"
      title="Controls"
      controls={<TextField label="Filter by name" value="" onInput={nothing} />}
    >
      <Actions label="Buttons">
        <Button primary label="Prune…" onClick={nothing} />
        <Button label="Save Plan" onClick={nothing} />
        <Button label="Evaluate" reason="A job is running" onClick={nothing} />
        <Button pressed label="Table" onClick={nothing} />
      </Actions>
      <div class="choices">
        <Dropdown
          label="Order"
          options={[
            { value: 'best', label: 'Best first' },
            { value: 'first', label: 'As stored' },
          ]}
          value={order}
          onChange={setOrder}
        />
        <Dropdown label="Class" options={classes} value={label} onChange={setLabel} />
        <Checkbox label="Log scale" checked={checked} onChange={setChecked} />
      </div>
      <Slider
        id="share"
        label="Target size"
        least={1}
        most={100}
        value={share}
        text={`${share} %`}
        onInput={setShare}
      />
      <p>
        {(['lock', 'graph', 'warning', 'ascending', 'descending'] as const).map((name) => (
          <Icon key={name} name={name} />
        ))}
      </p>
    </Section>
  );
}

function Numbers(): VNode {
  const scale = logScale([0.001, 3]);
  return (
    <Section id="numbers-title" title="Values">
      <dl class="tiles">
        <Tile name="Parameters saved" value="12.5 %" note="of 4.19 M" />
        <Tile name="Perplexity" value="–" note="not evaluated" reason="Nothing is selected" />
      </dl>
      <Facts stacked facts={[{ name: 'Mean', value: '0.01' }]} />
      <GridLegend
        title="Distance to the original"
        scale={scale}
        low="cheap to remove"
        high="important"
        definition="Jensen-Shannon divergence"
      >
        <LegendKey text="removed" status="measured" mark="removed">
          1
        </LegendKey>
        <LegendKey text="not measured yet" status="pending" />
      </GridLegend>
      <Folded title="More numbers">
        <p>None.</p>
      </Folded>
    </Section>
  );
}

const columns = [{ title: 'Name' }, { title: 'Bytes', isNumber: true }];
const rows = [
  ['block.0.attention', '1,024'],
  ['block.0.feedforward', '4,096'],
];

const manyRows = Array.from({ length: 220 }, (_, i) => [`block.${i}.attention`, '1,024']);

function Tables(): VNode {
  const [sort, setSort] = useState<ColumnSort<'name' | 'bytes'>>({
    key: 'bytes',
    descending: true,
  });
  return (
    <Section id="tables-title" title="Tables">
      <Table caption="A table" columns={columns} rows={rows} />
      <ScrollingTable caption="A table that scrolls" columns={columns} rows={manyRows} />
      <SortedTable
        caption="A table that sorts"
        label="A table that sorts"
        columns={[
          { key: 'name', title: 'Name' },
          { key: 'bytes', title: 'Bytes', isNumber: true },
        ]}
        sort={sort}
        onSort={setSort}
        empty="No row passes the filter."
        items={rows}
        row={([name, bytes]) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td class="number">{bytes}</td>
          </tr>
        )}
      />
    </Section>
  );
}

const counts = { low: 0, high: 1, counts: [1, 2, 4, 5, 3] };

const bars: BarContent = {
  bars: [
    { label: 'Attention', value: 3, color: 'blue' },
    { label: 'MLP', value: 5, color: 'yellow' },
  ],
  horizontal: true,
  logarithmic: false,
  format: String,
};

const points: ScatterContent = {
  series: [
    {
      ...{ label: 'Graphs', color: 'blue', marker: 'circle' },
      points: [0.4, 0.5, 0.7].map((y, i) => ({ x: i + 1, y, index: i })),
    },
  ],
  titles: { x: 'Iteration', y: 'Accuracy' },
  format: String,
  pointTitle: ({ index }) => `Graph ${index + 1}`,
};

const curve: ChartContent = {
  series: [
    {
      ...{ label: 'Greedy search', color: 'blue', dash: [], marker: 'circle', axis: 'y' },
      emphasised: true,
      points: [1, 2, 3].map((index) => ({ index, x: index, y: 10 ** index })),
    },
  ],
  titles: { x: 'Sublayers removed', y: 'Distance', y2: '' },
  logarithmic: true,
  selection: { x: 2, y: 100 },
  stepX: 1,
  formatX: String,
  formatY: String,
  pointTitle: ({ index }) => `Round ${index}`,
};

function Charts(): VNode {
  const [hidden, setHidden] = useState<readonly string[]>([]);
  const [ring, setRing] = useState<number>();
  const visit = ({ index }: { readonly index: number }) => {
    setRing(index);
  };
  return (
    <Section id="charts-title" title="Charts">
      <Legend
        items={[
          { name: 'Graphs', color: 'blue', mark: 'circle' },
          { name: 'Baseline', color: 'purple', mark: { dash: [8, 4] } },
        ]}
      />
      <ScatterPlot
        content={points}
        ring={ring}
        actions={{ visit, pick: visit }}
        label="Accuracies of three graphs"
        describedBy="chart-hint"
      />
      <p class="muted" id="chart-hint">
        Walk with the arrow keys.
      </p>
      <SeriesSwitches
        label="Series shown"
        items={[
          { key: 'greedy', name: 'Greedy search', color: 'blue', mark: { dash: [] } },
          { key: 'random', name: 'Random', color: 'purple', mark: { dash: [9, 3, 2, 3] } },
        ]}
        hidden={hidden}
        onChange={setHidden}
      />
      <CurvePlot content={curve} label="Distance over three rounds" onPick={nothing} />
      <BarPlot content={bars} label="Parameters by kind" height={90} />
      <Histogram
        histogram={counts}
        label="Scores of 15 examples"
        counted="Examples"
        measured="EL2N"
      />
    </Section>
  );
}
