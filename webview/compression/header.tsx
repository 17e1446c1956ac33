import type { VNode } from 'preact';
import type { CompressionState } from '../../extension/protocol/compression';
import { Button } from '../components/controls';
import { Facts } from '../components/facts';
import type { Fact } from '../components/facts';
import { Notice } from '../components/notice';
import { PageHeader } from '../components/page-header';
import { Folded } from '../components/section';
import { fileName } from '../file-name';
import { formatDuration } from '../../extension/core/format';
import { formatBytes, formatCount } from '../format';
import { t } from '../translate';
import { reasonAgainst, resumesMeasuring } from './frame';
import { strings } from './strings';
import type { CompressionPanel } from './compression-panel';

/** The model's name, what its table was made with, and what can be done. */
export function Header({ panel }: { readonly panel: CompressionPanel }): VNode {
  const { run } = panel;
  const [model, table, job, warnings] = [
    panel.get('model'),
    panel.get('table'),
    panel.get('job'),
    panel.get('warnings'),
  ];
  const reason = reasonAgainst(panel);
  const resumes = resumesMeasuring(job);
  const isGguf = !panel.get('canPlan');
  return (
    <PageHeader
      title={model.name}
      tooltip={model.path}
      tags={[model.architecture]}
      blocked={isGguf ? undefined : panel.get('blocked')}
      actionsLabel={strings.actions}
      actions={
        <>
          {resumes && (
            <Button
              primary
              label={strings.resume}
              title={strings.resumeTitle}
              reason={reason}
              onClick={run.resume}
            />
          )}
          {!resumes && table !== undefined && (
            <Button
              label={strings.profileAgain}
              title={strings.profileTitle}
              reason={reason}
              onClick={run.profile}
            />
          )}
          {!isGguf && (
            <Button
              label={strings.compress}
              title={strings.compressTitle}
              reason={reason}
              onClick={run.compress}
            />
          )}
          <Button label={strings.heatmap} title={strings.heatmapTitle} onClick={run.openHeatmap} />
          {table !== undefined && job.kind !== 'running' && !resumes && (
            <Button label={strings.openText} title={strings.openTextTitle} onClick={run.openText} />
          )}
        </>
      }
    >
      {warnings !== undefined && <Notice text={warnings} />}
      <Folded title={strings.details}>
        <Facts facts={listFacts(model, table, job, panel.get('file'))} />
      </Folded>
    </PageHeader>
  );
}

function listFacts(
  model: CompressionState['model'],
  table: CompressionState['table'],
  job: CompressionState['job'],
  file: string,
): Fact[] {
  const size = { name: strings.size, value: formatBytes(model.bytes) };
  if (table === undefined) return [size];
  const { calibration, fitting, metric, metricDefinition, device, seconds, layers } = table;
  const source =
    calibration.source === 'bundled' ? strings.bundledText : fileName(calibration.source);
  const formatSize = ({ sequences, length }: typeof calibration): [string, string] => [
    formatCount(sequences),
    formatCount(length),
  ];
  return [
    size,
    { name: strings.layers, value: formatCount(layers.length) },
    {
      name: strings.calibration,
      value: strings.calibrationValue(...formatSize(calibration), source),
      title: calibration.source,
    },
    {
      name: strings.fittedTo,
      value:
        fitting === undefined
          ? strings.fittedToSame
          : strings.fittedToOther(...formatSize(fitting)),
      title: fitting === undefined ? strings.fittedToSameTitle : strings.fittedToOtherTitle,
    },
    { name: strings.metric, value: metric, title: t(metricDefinition) },
    { name: strings.device, value: device },
    // Until all is measured, neither the time is known nor the file written.
    ...((job.kind === 'running' && job.what === 'sensitivity') || resumesMeasuring(job)
      ? []
      : [
          { name: strings.took, value: formatDuration(seconds) },
          { name: strings.file, value: fileName(file), title: file },
        ]),
  ];
}
