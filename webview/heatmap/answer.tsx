import { useComputed } from '@preact/signals';
import type { VNode } from 'preact';
import {
  distanceLabel,
  isSmallDistance,
  isSmallPerplexity,
  perplexityLabel,
} from '../../extension/core/quality-labels';
import { formatChange } from '../../extension/core/format';
import { glossary } from '../../extension/core/glossary';
import type { QuantizedSize } from '../../extension/protocol/heatmap';
import { Button } from '../components/controls';
import { Tile } from '../components/facts';
import { Slider } from '../components/slider';
import {
  formatBytes,
  formatCount,
  formatDistance,
  formatDistanceShort,
  formatShare,
} from '../format';
import { AfterPaint } from '../kit/after-paint';
import { listed, named, tell } from '../translate';
import { findAvailability, isWhole } from './availability';
import type { Availability } from './availability';
import { isZeroAtOriginal } from './curves/curves';
import { measuredPerplexities } from './curves/perplexities';
import type { Selected } from './draft';
import type { Frame } from './frame';
import { SizeAndLoss } from './size-and-loss';
import type { HeatmapPanel } from './heatmap-panel';
import type { SelectionTotals } from './selection';
import { strings } from './strings';

interface AnswerProps {
  readonly panel: HeatmapPanel;
  readonly frame: Frame;
  readonly totals: SelectionTotals;
}

/** Loss and size of the selection, the next step, and the slider that changes them. */
export function Answer({ panel, frame, totals }: AnswerProps): VNode {
  const { selected, expected } = frame;
  const { bytes } = selected.model;
  const left = bytes - totals.bytes;
  const available = findAvailability({
    ...{ ...selected, job: panel.get('job') },
    ...{ blocked: panel.get('blocked'), cannot: panel.get('cannot') },
  });
  return (
    <section class="answer" aria-label={strings.answer}>
      <div class="strip">
        <dl class="tiles">
          <Perplexity panel={panel} frame={frame} reason={available.evaluate} />
          <Distance selected={selected} expected={expected} />
          <Tile
            name={strings.size}
            value={formatBytes(left)}
            note={totals.bytes === 0 ? strings.originalModel : sizeNote(bytes, left)}
          />
        </dl>
        <NextStep panel={panel} frame={frame} totals={totals} available={available} />
      </div>
      <Rounds panel={panel} frame={frame} totals={totals} />
      <AfterPaint>
        <SizeAndLoss panel={panel} frame={frame} left={left} />
      </AfterPaint>
    </section>
  );
}

/** `16.9 MiB, −12 %` */
const sizeNote = (before: number, after: number): string =>
  strings.changeFrom(formatBytes(before), formatChange(before, after));

interface NextStepProps extends AnswerProps {
  readonly available: Availability;
}

/** Pruning if it loses little and saves more than quantization, else quantization. */
function NextStep({ panel, frame, totals, available }: NextStepProps): VNode {
  const quantized = panel.get('quantized');
  const prunesNext =
    !isWhole(frame.selected) &&
    losesLittle(frame) &&
    totals.shares.bytes >= (quantized === undefined ? 0 : savedShare(quantized));
  // The header's main button is next while there are no rounds.
  const isProfiled = !available.resumable && (frame.selected.profile?.rounds.length ?? 0) > 0;
  return (
    <div class="next">
      <div class="actions" role="group" aria-label={strings.nextStep}>
        <Button
          primary={isProfiled && (prunesNext || quantized === undefined)}
          label={strings.prune}
          title={strings.pruneTitle}
          reason={available.prune}
          onClick={frame.run.prune}
        />
        {quantized !== undefined && (
          <Button
            primary={isProfiled && !prunesNext}
            label={strings.makeSmaller}
            title={strings.makeSmallerTitle}
            reason={panel.get('blocked')}
            onClick={frame.run.makeSmaller}
          />
        )}
      </div>
      {quantized !== undefined && (
        <p class="muted">
          {strings.quantized(
            quantized.type,
            formatBytes(quantized.bytes),
            formatChange(quantized.bytesBefore, quantized.bytes),
            lossText(quantized),
          )}
        </p>
      )}
    </div>
  );
}

const savedShare = ({ bytes, bytesBefore }: QuantizedSize): number => 1 - bytes / bytesBefore;

function lossText({ loss, perplexityRatio }: QuantizedSize): string {
  return perplexityRatio === undefined
    ? tell(loss)
    : strings.perplexityMeasured(formatChange(1, perplexityRatio));
}

/** True if the loss of the selection is known to be small. */
function losesLittle({ selected, expected }: Frame): boolean {
  const { original, selected: perplexity } = measuredPerplexities(selected);
  if (original !== undefined && perplexity !== undefined) {
    return isSmallPerplexity(original, perplexity);
  }
  const distance = measuredDistance(selected) ?? expected;
  const { metric = '' } = selected.profile?.settings ?? {};
  return distance !== undefined && isSmallDistance(metric, distance);
}

const unitsRemoved = (granularity = 'sublayer'): string =>
  granularity === 'block'
    ? strings.blocksRemoved
    : granularity === 'expert'
      ? strings.expertsRemoved
      : strings.sublayersRemoved;

/** The slider over the rounds of the search. */
function Rounds({ panel, frame, totals }: AnswerProps): VNode | null {
  const { selected, selectRounds } = frame;
  const isRunning = useComputed(() => panel.get('job').kind === 'running').value;
  const { profile, slider, byHand, protectedIds } = selected;
  const rounds = profile?.rounds.length ?? 0;
  const marks = byHand.removed.length + byHand.kept.length;
  if (rounds === 0) return isRunning ? <p class="muted">{strings.noRounds}</p> : null;
  const value = Math.min(slider, rounds);
  const readout =
    slider > rounds
      ? strings.ofEarlierProfile
      : strings.roundsValue(formatCount(value), formatCount(rounds));
  return (
    <div class="rounds">
      <Slider
        id="rounds"
        label={unitsRemoved(profile?.settings.granularity)}
        least={0}
        most={rounds}
        value={value}
        text={marks === 0 ? readout : listed([readout, strings.byHand(formatCount(marks))])}
        spoken={strings.sliderText(
          value,
          rounds,
          strings.units(totals.sublayers, totals.experts),
          formatShare(totals.shares.parameters),
        )}
        onInput={selectRounds}
      />
      {marks + protectedIds.length > 0 && (
        <Button
          label={strings.clearMarks}
          title={strings.clearMarksTitle}
          onClick={() => {
            frame.change('clearMarks');
          }}
        />
      )}
    </div>
  );
}

interface DistanceProps {
  readonly selected: Selected;
  readonly expected: number | undefined;
}

function Distance({ selected, expected }: DistanceProps): VNode {
  const { profile, selectedRounds } = selected;
  const distance = measuredDistance(selected);
  const { metric = '' } = profile?.settings ?? {};
  if (distance === undefined && expected !== undefined) {
    return (
      <Tile
        name={strings.distance}
        value={`≈ ${formatDistanceShort(expected)}`}
        note={`${distanceNote(metric, expected)} · ${strings.expected}`}
        meaning={tell(glossary.expectedDistance)}
      />
    );
  }
  const byHand = profile !== undefined && selectedRounds === undefined;
  const unknown = byHand ? strings.editedByHand : strings.notMeasured;
  return (
    <Tile
      name={strings.distance}
      value={distance === undefined ? strings.notYet : formatDistance(distance)}
      note={distance === undefined ? unknown : distanceNote(metric, distance)}
      meaning={tell(glossary.distance)}
    />
  );
}

interface PerplexityProps {
  readonly panel: HeatmapPanel;
  readonly frame: Frame;
  /** Reason why it cannot be measured now, if any. */
  readonly reason: string | undefined;
}

function Perplexity({ panel, frame, reason }: PerplexityProps): VNode {
  const { original, selected, firstTokens } = measuredPerplexities(frame.selected);
  const { evaluate: unable } = panel.get('cannot');
  const onFirst = firstTokens === undefined ? '' : strings.firstTokens(formatCount(firstTokens));
  const note =
    selected !== undefined
      ? perplexityNote(selected, original)
      : original === undefined
        ? ''
        : strings.perplexityOriginal(formatDistance(original));
  return (
    <Tile
      name={strings.perplexity}
      value={selected === undefined ? strings.notYet : formatDistance(selected)}
      note={
        unable === undefined ? [note, onFirst].filter(Boolean).join(' · ') : strings.noPerplexity
      }
      reason={unable && tell(unable)}
      meaning={tell(glossary.perplexity)}
      action={
        unable !== undefined || selected !== undefined
          ? undefined
          : {
              ...{ label: strings.measure, title: strings.measureTitle, reason },
              onClick: frame.run.evaluate,
            }
      }
    />
  );
}

function perplexityNote(selected: number, original: number | undefined): string {
  if (original === undefined) return '';
  if (selected === original) return strings.originalModel;
  const change = selected / original - 1;
  const share = formatShare(Math.abs(change));
  const sign = change >= 0 ? '+' : '−';
  const changeText = strings.perplexityChange(
    formatDistance(original),
    share.startsWith('<') ? share : `${sign}${share}`,
  );
  return named(changeText, tell(perplexityLabel(original, selected)));
}

/** `js: small` */
function distanceNote(metric: string, distance: number): string {
  const word = distanceLabel(metric, distance);
  return word === undefined ? metric : named(metric, tell(word));
}

/** Distance of the selected model, if a round of the search measured it. */
function measuredDistance({ profile, selectedRounds }: Selected): number | undefined {
  if (profile === undefined || selectedRounds === undefined) return undefined;
  if (selectedRounds > 0) return profile.rounds[selectedRounds - 1]?.distance;
  return isZeroAtOriginal(profile) ? 0 : undefined;
}
