import type { VNode } from 'preact';
import { Button } from '../components/controls';
import { Facts } from '../components/facts';
import type { Fact } from '../components/facts';
import { Notes, PageHeader } from '../components/page-header';
import { Folded } from '../components/section';
import { counted } from '../counted';
import { fileName } from '../file-name';
import { formatDuration } from '../../extension/core/format';
import { selectionStability } from '../../extension/core/selection-stability';
import { formatBytes, formatCompact, formatCount, formatDistance, formatPercent } from '../format';
import { strings as common } from '../strings';
import { findAvailability, isEmpty } from './availability';
import type { Frame } from './frame';
import { strings } from './strings';
import type { HeatmapPanel } from './heatmap-panel';
import type { ModelSummary, ShownProfile } from './types';
import { listed, named, t, tell } from '../translate';

interface HeaderProps {
  readonly panel: HeatmapPanel;
  readonly frame: Frame;
}

/** The model's name, what it is, what its profile was made with, and what can be done. */
export function Header({ panel, frame }: HeaderProps): VNode {
  const model = panel.get('model');
  return (
    <PageHeader
      title={model.name}
      tooltip={model.path}
      tags={[model.architecture]}
      blocked={panel.get('blocked')}
      actionsLabel={strings.actions}
      actions={<Buttons panel={panel} frame={frame} />}
    >
      <Folded title={strings.details}>
        <Facts facts={listFacts(model, panel.get('profile'), panel.get('profileFile'))} />
      </Folded>
      <Notes title={strings.warnings} texts={[...new Set(model.warnings.map(tell))]} open={false} />
    </PageHeader>
  );
}

/** Buttons that start jobs. Profiling is the main one while there are no rounds. */
function Buttons({ panel, frame }: HeaderProps): VNode {
  const { run, selected } = frame;
  const [job, profile] = [panel.get('job'), panel.get('profile')];
  const available = findAvailability({
    ...{ ...selected, job },
    blocked: panel.get('blocked'),
    cannot: panel.get('cannot'),
  });
  const { resumable } = available;
  const profilesNext = resumable || profile === undefined || profile.rounds.length === 0;
  return (
    <>
      {!isEmpty({ profile, job }) && (
        <Button
          primary={profilesNext}
          label={resumable ? common.resume : strings.profile}
          title={resumable ? common.resumeTitle : strings.profileTitle}
          reason={available.profile}
          onClick={resumable ? run.resume : run.profile}
        />
      )}
      <Button
        label={strings.showDrift}
        title={strings.showDriftTitle}
        reason={available.showDrift}
        onClick={() => {
          panel.setView({ colors: 'drift' });
          run.showDrift();
        }}
      />
      <Button
        label={strings.savePlan}
        title={strings.savePlanTitle}
        reason={available.savePlan}
        onClick={run.savePlan}
      />
      <Button
        label={strings.compression}
        title={strings.compressionTitle}
        onClick={run.openCompression}
      />
    </>
  );
}

function listFacts(
  model: ModelSummary,
  profile: ShownProfile | undefined,
  file: string | undefined,
): Fact[] {
  return [
    {
      name: strings.parameters,
      value: formatCompact(model.parameters),
      title: formatCount(model.parameters),
    },
    { name: strings.size, value: formatSize(model), title: sizeTitle(model) },
    {
      name: strings.structure,
      value: strings.structureValue(model, formatCount(model.sublayers.length)),
    },
    ...(model.hiddenSize === undefined
      ? []
      : [{ name: strings.hiddenSize, value: formatCount(model.hiddenSize) }]),
    ...(profile === undefined ? [] : profileFacts(profile)),
    ...(file === undefined
      ? []
      : [{ name: strings.profileFile, value: fileName(file), title: file }]),
  ];
}

function profileFacts({
  calibration,
  search,
  settings,
  metricDefinition,
  device,
  stability,
  rounds,
}: ShownProfile): Fact[] {
  const { source, texts, sequences, length } = calibration;
  return [
    {
      name: strings.calibration,
      value: strings.calibrationValue(
        formatCount(sequences),
        formatCount(length),
        texts === undefined ? textName(source) : strings.severalTexts(texts.length),
      ),
      title: calibrationTitle(calibration),
    },
    ...(stability === undefined
      ? []
      : [stabilityFact(stability, rounds.length, texts !== undefined)]),
    { name: strings.metric, value: settings.metric, title: t(metricDefinition) },
    ...(search === undefined
      ? []
      : [
          {
            name: strings.search,
            value: strings.searchValue(modeText(settings), formatDuration(search.seconds)),
            title: strings.searchTitle(
              formatCount(search.sublayerEvaluations),
              formatCount(search.naiveSublayerEvaluations),
              formatPercent(search.sublayerEvaluations / search.naiveSublayerEvaluations),
            ),
          },
        ]),
    ...(device === undefined ? [] : [{ name: strings.device, value: device }]),
  ];
}

function modeText({ mode, refine }: ShownProfile['settings']): string {
  return refine === undefined ? mode : strings.refinedMode(mode, refine.method);
}

function textName(source: string): string {
  return source === 'bundled' ? strings.bundledText : fileName(source);
}

/**
 * @param removals of all rounds
 * @param areTexts false: they are parts of one
 */
function stabilityFact(
  stability: NonNullable<ShownProfile['stability']>,
  removals: number,
  areTexts: boolean,
): Fact {
  const { correlation, least, texts } = stability;
  const { common: shared, distances } = selectionStability(stability, removals);
  const measured = texts.map(({ name, tokens }, i) => {
    const shown = areTexts ? textName(name) : strings.partOfText(i + 1, texts.length);
    const found = counted(tokens, 'token');
    const distance = distances?.[i];
    return named(
      shown,
      distance === undefined
        ? found
        : listed([
            found,
            strings.distanceAfter(counted(removals, 'removal'), formatDistance(distance)),
          ]),
    );
  });
  return {
    name: strings.stability,
    value: strings.stabilityValue(correlation.toFixed(2), least.toFixed(2)),
    title: strings.stabilityTitle(removals, shared, measured),
  };
}

function calibrationTitle(calibration: ShownProfile['calibration']): string {
  const { source, texts = [source], tokens, fingerprint, choice } = calibration;
  const title = strings.calibrationTitle(listed(texts), formatCount(tokens), fingerprint);
  if (choice === undefined) return title;
  const { policy, windows, scores } = choice;
  return `${title}\n${strings.calibrationChoice(policy, formatCount(windows), fileName(scores))}`;
}

function formatSize({ bytes, dtypes }: ModelSummary): string {
  return `${formatBytes(bytes)} (${listed(Object.keys(dtypes))})`;
}

function sizeTitle({ dtypes }: ModelSummary): string {
  return Object.entries(dtypes)
    .map(([dtype, bytes]) => named(dtype, formatBytes(bytes)))
    .join('\n');
}
