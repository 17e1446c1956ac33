import type { ComponentChildren, VNode } from 'preact';
import { useComputed } from '@preact/signals';
import { formatDuration } from '../../extension/core/format';
import type { CompressionState, ShownTable } from '../../extension/protocol/compression';
import { Facts } from '../components/facts';
import type { Fact } from '../components/facts';
import { Folded } from '../components/section';
import { fileName } from '../file-name';
import { formatCount } from '../format';
import { AfterPaint } from '../kit/after-paint';
import { t } from '../translate';
import type { CompressionPanel } from './compression-panel';
import { Findings } from './findings';
import { resumesMeasuring, useFrame } from './frame';
import { Layers } from './layers';
import { SensitivityGrid } from './sensitivity-grid';
import { strings } from './strings';
import { isMeasuring } from './use-budget';

interface DetailsProps {
  readonly panel: CompressionPanel;
  /** Above the layers. */
  readonly children?: ComponentChildren;
}

/** Limits, layers and findings: open while layers are measured, unless the user closes them. */
export function Details({ panel, children }: DetailsProps): VNode {
  const measures = useComputed(() => isMeasuring(panel.get('job'))).value;
  const isOpen = panel.view.value.details ?? measures;
  return (
    <Folded
      title={strings.details}
      open={isOpen}
      onToggle={(next) => {
        if (next !== isOpen) panel.setView({ details: next });
      }}
      draw={() => (
        <>
          {children}
          <Measured panel={panel} />
        </>
      )}
    />
  );
}

/** Losses of layers, and how they were measured. */
function Measured({ panel }: Pick<DetailsProps, 'panel'>): VNode | null {
  const frame = useFrame(panel);
  if (frame?.cells === undefined || frame.shown === undefined) return null;
  return (
    <>
      <SensitivityGrid panel={panel} frame={frame} cells={frame.cells} shown={frame.shown} />
      <AfterPaint>
        <Layers panel={panel} cells={frame.cells} />
        <Facts facts={tableFacts(frame.table, panel.get('job'), panel.get('file'))} />
        <Findings findings={panel.get('findings')} />
      </AfterPaint>
    </>
  );
}

/** Settings and data of a measurement. */
function tableFacts(table: ShownTable, job: CompressionState['job'], file: string): Fact[] {
  const { calibration, fitting, metric, metricDefinition, device, seconds, layers } = table;
  const source =
    calibration.source === 'bundled' ? strings.bundledText : fileName(calibration.source);
  const sizeTexts = ({ sequences, length }: typeof calibration): [string, string] => [
    formatCount(sequences),
    formatCount(length),
  ];
  return [
    { name: strings.layers, value: formatCount(layers.length) },
    {
      name: strings.calibration,
      value: strings.calibrationValue(...sizeTexts(calibration), source),
      title: calibration.source,
    },
    {
      name: strings.fittedTo,
      value:
        fitting === undefined ? strings.fittedToSame : strings.fittedToOther(...sizeTexts(fitting)),
      title: fitting === undefined ? strings.fittedToSameTitle : strings.fittedToOtherTitle,
    },
    { name: strings.metric, value: metric, title: t(metricDefinition) },
    { name: strings.device, value: device },
    // Until all is measured, neither the time is known nor the file written.
    ...((job.kind === 'running' && job.makesDocument) || resumesMeasuring(job)
      ? []
      : [
          { name: strings.took, value: formatDuration(seconds) },
          { name: strings.file, value: fileName(file), title: file },
        ]),
  ];
}
