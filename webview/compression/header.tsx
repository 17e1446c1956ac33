import type { VNode } from 'preact';
import { Button } from '../components/controls';
import { Notice } from '../components/notice';
import { PageHeader } from '../components/page-header';
import { formatBytes } from '../format';
import { reasonAgainst, resumesMeasuring } from './frame';
import { strings } from './strings';
import type { CompressionPanel } from './compression-panel';

/** The model's name, and what can be done. */
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
      tags={[model.architecture, formatBytes(model.bytes)]}
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
          {!resumes && !isGguf && table !== undefined && (
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
    </PageHeader>
  );
}
