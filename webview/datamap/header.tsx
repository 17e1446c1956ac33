import type { VNode } from 'preact';
import { issueKinds } from '../../extension/protocol/datamap';
import { Button } from '../components/controls';
import { Facts } from '../components/facts';
import type { Fact } from '../components/facts';
import { Notice } from '../components/notice';
import { PageHeader } from '../components/page-header';
import { formatDuration } from '../../extension/core/format';
import { verbatim } from '../../extension/core/message';
import { formatCount, formatDistance, formatShare } from '../format';
import { strings } from './strings';
import type { DataMap, DataMapPanel, Overview } from './types';
import { joinSentences, tell } from '../translate';

interface HeaderProps {
  readonly panel: DataMapPanel;
  readonly map: DataMap;
}

/** Summary of the scores: dataset, method, and caveats. */
export function Header({ panel, map: { overview, warnings } }: HeaderProps): VNode {
  const { run } = panel;
  const data = panel.get('data');
  const [job, blocked] = [panel.get('job'), panel.get('blocked')];
  const isExporting = job.kind === 'running' || job.kind === 'queued';
  return (
    <PageHeader
      title={overview.name}
      tooltip={data?.path ?? panel.get('scores')}
      tags={[strings.scoreName(overview.score)]}
      blocked={blocked}
      actionsLabel={strings.actions}
      actions={
        <>
          <Button
            primary
            label={strings.exportSubset}
            title={strings.exportTitle}
            reason={blocked ?? (isExporting ? strings.exportRunning : undefined)}
            onClick={run.exportSubset}
          />
          <Button
            label={strings.chooseData}
            title={strings.chooseDataTitle}
            onClick={run.chooseData}
          />
          <Button label={strings.openText} title={strings.openTextTitle} onClick={run.openText} />
          <Button label={strings.reload} title={strings.reloadTitle} onClick={run.reload} />
        </>
      }
    >
      {data?.problem !== undefined && (
        <Notice text={joinSentences([tell(data.problem), strings.withoutData])} />
      )}
      <Facts facts={listFacts(overview)} />
      <ul class="notes" aria-label={strings.notes}>
        {[...overview.notes.map(verbatim), ...warnings, ...(data?.warnings ?? [])]
          .map(tell)
          .map((note) => (
            <li key={note}>{note}</li>
          ))}
      </ul>
    </PageHeader>
  );
}

function listFacts({ examples, classes, scoring, issues }: Overview): Fact[] {
  return [
    { name: strings.examples, value: formatCount(examples) },
    ...(classes.length === 0
      ? []
      : [{ name: strings.classes, value: formatCount(classes.length) }]),
    ...(scoring === undefined ? [] : scoringFacts(scoring)),
    ...issueKinds.flatMap((kind) => {
      const found = issues[kind];
      return found === undefined
        ? []
        : [
            {
              name: strings.issueName[kind],
              value: `${formatCount(found)} (${formatShare(found / Math.max(1, examples))})`,
              title: strings.issueTitle[kind],
            },
          ];
    }),
  ];
}

function scoringFacts(scoring: NonNullable<Overview['scoring']>): Fact[] {
  const { model, epoch, runs, interRunSpearman, seconds, noise } = scoring;
  return [
    { name: strings.model, value: model },
    { name: strings.epoch, value: strings.epochValue(epoch) },
    { name: strings.runs, value: formatCount(runs) },
    {
      name: strings.agreement,
      value:
        interRunSpearman === null
          ? strings.agreementNone
          : strings.agreementValue(formatDistance(interRunSpearman)),
      title: strings.agreementTitle,
    },
    { name: strings.seconds, value: formatDuration(seconds) },
    ...(noise === undefined ? [] : [{ name: strings.noise, value: formatShare(noise.rate) }]),
  ];
}
