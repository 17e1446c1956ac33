import type { VNode } from 'preact';
import { Button } from '../components/controls';
import { Facts } from '../components/facts';
import { Notes, PageHeader } from '../components/page-header';
import type { ExportFormat } from '../../extension/protocol/explorer';
import { listFacts } from './facts';
import { strings } from './strings';
import type { ExplorerPanel, ModelDescription } from './types';
import { tell } from '../translate';

interface HeaderProps {
  readonly panel: ExplorerPanel;
  readonly model: ModelDescription;
}

/** The model's name, what it is, and what can be done with it. */
export function Header({ panel, model }: HeaderProps): VNode {
  const { run } = panel;
  const { name, path, family, format, understood, warnings } = model;
  const { by, reason } = understood;
  const exporting = (as: ExportFormat) => () => {
    run.export(as);
  };
  return (
    <PageHeader
      title={name}
      tooltip={path}
      tags={[...(family === undefined || family === format ? [] : [family]), format]}
      actionsLabel={strings.actions}
      actions={
        <>
          {by !== 'names' && (
            <>
              <Button
                primary
                label={strings.makeSmaller}
                title={strings.makeSmallerTitle}
                onClick={run.makeSmaller}
              />
              <Button
                label={strings.openHeatmap}
                title={strings.openHeatmapTitle}
                onClick={run.openHeatmap}
              />
            </>
          )}
          <Button label={strings.compare} title={strings.compareTitle} onClick={run.compare} />
          <Button
            label={strings.exportJson}
            title={strings.exportJsonTitle}
            onClick={exporting('json')}
          />
          <Button
            label={strings.exportCsv}
            title={strings.exportCsvTitle}
            onClick={exporting('csv')}
          />
          {by === 'architecture' && (
            <Button
              label={strings.exportMarkdown}
              title={strings.exportMarkdownTitle}
              onClick={exporting('markdown')}
            />
          )}
          <Button label={strings.reload} title={strings.reloadTitle} onClick={run.reload} />
        </>
      }
    >
      <Facts facts={listFacts(model)} />
      <p class="muted source">{strings.source(by)}</p>
      <Notes
        title={strings.warnings}
        texts={[
          ...(reason === undefined ? [] : [strings.notRunnable(tell(reason))]),
          ...warnings.map(tell),
        ]}
        open={reason !== undefined}
      />
    </PageHeader>
  );
}
