import { useComputed } from '@preact/signals';
import type { VNode } from 'preact';
import { useMemo } from 'preact/hooks';
import { distanceWord, memoryContext, perplexityWord } from '../../extension/core/change-size';
import { glossary } from '../../extension/core/glossary';
import { explainNothingFreed, freeingNothing } from '../../extension/core/shared-weights';
import type { HeatmapState } from '../../extension/protocol/heatmap';
import { Button } from '../components/controls';
import { Tile } from '../components/facts';
import { Slider } from '../components/slider';
import {
  formatBytes,
  formatCompact,
  formatCount,
  formatDistance,
  formatInCell,
  formatInRow,
  formatShare,
} from '../format';
import type { Selected } from './draft';
import type { Frame } from './frame';
import { isZeroAtOriginal } from './curves/curves';
import { perplexitiesOf } from './curves/perplexities';
import { expandSublayers, totalsOf } from './selection';
import type { SelectionTotals } from './selection';
import { strings } from './strings';
import type { HeatmapPanel } from './heatmap-panel';
import { tell, named } from '../translate';

interface RemovalProps {
  readonly panel: HeatmapPanel;
  readonly frame: Frame;
}

/** The slider over the rounds of the search, and what the selection saves and costs. */
export function Removal({ panel, frame }: RemovalProps): VNode {
  const { selected, expected, selectRounds } = frame;
  const { removed, model, narrowed } = selected;
  const totals = useMemo(
    () => totalsOf(expandSublayers(removed, model), model, narrowed),
    [removed, model, narrowed],
  );
  const isRunning = useComputed(() => panel.get('job').kind === 'running').value;
  const rounds = selected.profile?.rounds.length ?? 0;
  const at = selected.selectedRounds;
  const nothing = explainNothingFreed(freeingNothing(model, removed));
  const value = Math.min(at ?? totals.sublayers + totals.experts, rounds);
  return (
    <section class="budget" aria-labelledby="budget-title">
      <h2 id="budget-title">{strings.budget}</h2>
      {rounds > 0 && (
        <Slider
          id="rounds"
          label={strings.rounds}
          least={0}
          most={rounds}
          value={value}
          text={
            at === undefined
              ? strings.editedByHand
              : at > rounds
                ? strings.ofEarlierProfile
                : strings.roundsValue(formatCount(at), formatCount(rounds))
          }
          spoken={strings.sliderText(
            value,
            rounds,
            strings.units(totals.sublayers, totals.experts),
            formatShare(totals.shares.parameters),
          )}
          onInput={selectRounds}
        />
      )}
      {rounds === 0 && isRunning && <p class="muted">{strings.noRounds}</p>}
      {totals.narrowed > 0 && (
        <p>
          <Button
            label={strings.keepWidths}
            title={strings.keepWidthsTitle}
            onClick={panel.run.keepWidths}
          />
        </p>
      )}
      {nothing !== undefined && <p class="muted">{tell(nothing)}</p>}
      <Tiles selected={selected} expected={expected} totals={totals} cannot={panel.get('cannot')} />
    </section>
  );
}

interface TilesProps {
  readonly selected: Selected;
  readonly expected: number | undefined;
  readonly totals: SelectionTotals;
  readonly cannot: HeatmapState['cannot'];
}

function Tiles({ selected, expected, totals, cannot }: TilesProps): VNode {
  const { model } = selected;
  const { shares } = totals;
  const experts = model.sublayers.reduce((sum, one) => sum + (one.experts?.count ?? 0), 0);
  return (
    <dl class="tiles">
      <Tile
        name={strings.sublayersRemoved}
        value={formatCount(totals.sublayers)}
        note={strings.ofTotal(formatCount(model.sublayers.length))}
      />
      {experts > 0 && (
        <Tile
          name={strings.expertsRemoved}
          value={formatCount(totals.experts)}
          note={strings.ofTotal(formatCount(experts))}
        />
      )}
      {totals.narrowed > 0 && (
        <Tile
          name={strings.sublayersNarrowed}
          value={formatCount(totals.narrowed)}
          note={strings.ofTotal(formatCount(model.sublayers.length))}
        />
      )}
      <Tile
        name={strings.parametersSaved}
        value={formatCompact(totals.parameters)}
        note={formatShare(shares.parameters)}
      />
      <Tile
        name={strings.bytesSaved}
        value={formatBytes(totals.bytes)}
        note={formatShare(shares.bytes)}
      />
      {cannot.keepCache === undefined ? (
        <>
          <Tile
            name={strings.kvSaved}
            value={formatBytes(totals.kvBytesPerToken)}
            note={strings.perToken(formatShare(shares.kvBytesPerToken))}
          />
          <Tile
            name={strings.memorySaved}
            value={formatBytes(totals.memory)}
            note={strings.withContext(
              formatCount(memoryContext(model)),
              formatShare(shares.memory),
            )}
          />
        </>
      ) : (
        <Tile
          name={strings.kvSaved}
          value={strings.notYet}
          note={strings.noCache}
          reason={tell(cannot.keepCache)}
        />
      )}
      <Distance selected={selected} expected={expected} />
      <Perplexity selected={selected} reason={cannot.evaluate && tell(cannot.evaluate)} />
    </dl>
  );
}

function Distance({ selected, expected }: Pick<TilesProps, 'selected' | 'expected'>): VNode {
  const { profile, selectedRounds } = selected;
  const distance = distanceOf(selected);
  const { metric = '' } = profile?.settings ?? {};
  if (distance === undefined && expected !== undefined) {
    return (
      <Tile
        name={strings.distance}
        value={`≈ ${formatInCell(expected)}`}
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
      value={distance === undefined ? strings.notYet : formatInRow(distance)}
      note={distance === undefined ? unknown : distanceNote(metric, distance)}
      meaning={tell(glossary.distance)}
    />
  );
}

interface PerplexityProps {
  readonly selected: Selected;
  /** Why it cannot be measured, if so. */
  readonly reason: string | undefined;
}

function Perplexity({ selected: state, reason }: PerplexityProps): VNode {
  const { original, selected, firstTokens } = perplexitiesOf(state);
  const onFirst = firstTokens === undefined ? '' : strings.firstTokens(formatCount(firstTokens));
  if (selected !== undefined) {
    return (
      <Tile
        name={strings.perplexity}
        value={formatDistance(selected)}
        note={[perplexityNote(selected, original), onFirst].filter(Boolean).join(' · ')}
        meaning={tell(glossary.perplexity)}
      />
    );
  }
  const note =
    original === undefined
      ? strings.notEvaluated
      : [strings.perplexityOriginal(formatDistance(original)), onFirst].filter(Boolean).join(' · ');
  return (
    <Tile
      name={strings.perplexity}
      value={strings.notYet}
      note={reason === undefined ? note : strings.noPerplexity}
      reason={reason}
      meaning={tell(glossary.perplexity)}
    />
  );
}

function perplexityNote(selected: number, original: number | undefined): string {
  if (original === undefined) return '';
  if (selected === original) return strings.originalModel;
  const change = selected / original - 1;
  const share = formatShare(Math.abs(change));
  const sign = change >= 0 ? '+' : '−';
  const told = strings.perplexityChange(
    formatDistance(original),
    share.startsWith('<') ? share : `${sign}${share}`,
  );
  return named(told, tell(perplexityWord(original, selected)));
}

/** `js: small` */
function distanceNote(metric: string, distance: number): string {
  const word = distanceWord(metric, distance);
  return word === undefined ? metric : named(metric, tell(word));
}

/** Distance of the selected model, where a round of the search has measured it. */
function distanceOf({ profile, selectedRounds }: Selected): number | undefined {
  if (profile === undefined || selectedRounds === undefined) return undefined;
  if (selectedRounds > 0) return profile.rounds[selectedRounds - 1]?.distance;
  return isZeroAtOriginal(profile) ? 0 : undefined;
}
