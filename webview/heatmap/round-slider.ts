import { h, setAttribute, setText } from '../dom';
import { formatBytes, formatCompact, formatCount, formatDistance, formatPercent } from '../format';
import { strings } from '../strings';
import { createTile } from '../tile';
import type { Tile } from '../tile';
import { isEmpty } from './availability';
import type { Frame, PanelActions, PanelPart } from './panel-part';
import { perplexitiesOf } from './perplexities';
import type { SelectionTotals } from './selection';
import { totalsOf } from './selection';

/** The slider over the rounds of the greedy search, and what the selection saves and costs. */
export function createRoundSlider({ choose }: PanelActions): PanelPart {
  const input = h('input', { type: 'range', id: 'rounds', min: 0, step: 1 });
  const readout = h('output', { for: 'rounds', class: 'readout' });
  const waiting = h('p', { class: 'muted' }, strings.noRounds);
  const slider = h(
    'div',
    { class: 'slider' },
    h('label', { for: 'rounds' }, strings.rounds),
    input,
    readout,
  );
  const tiles = {
    sublayers: createTile(strings.sublayersRemoved),
    experts: createTile(strings.expertsRemoved),
    parameters: createTile(strings.parametersSaved),
    bytes: createTile(strings.bytesSaved),
    kv: createTile(strings.kvSaved),
    distance: createTile(strings.distance),
    perplexity: createTile(strings.perplexity),
  };
  input.addEventListener('input', () => {
    choose({ type: 'selectRounds', rounds: Number(input.value) });
  });

  const element = h(
    'section',
    { class: 'budget', 'aria-labelledby': 'budget-title' },
    h('h2', { id: 'budget-title' }, strings.budget),
    slider,
    waiting,
    h('dl', { class: 'tiles' }, ...Object.values(tiles).map((tile) => tile.element)),
  );
  return {
    element,
    update: (frame) => {
      const { state } = frame;
      const rounds = state.profile?.rounds ?? [];
      const removed = frame.cells.cells.filter((cell) => cell.mark === 'removed');
      const totals = totalsOf(
        removed.map((cell) => cell.sublayer.id),
        state.model,
      );
      element.hidden = isEmpty(state) && removed.length === 0;
      slider.hidden = rounds.length === 0;
      waiting.hidden = rounds.length > 0 || state.job.kind !== 'running';
      const at = state.selectedRounds;
      drawSlider(input, at ?? removed.length, rounds.length, totals);
      const text = strings.roundsValue(formatCount(at ?? 0), formatCount(rounds.length));
      setText(readout, at === undefined ? strings.editedByHand : text);
      drawTiles(tiles, frame, totals);
    },
  };
}

function drawSlider(
  input: HTMLInputElement,
  rounds: number,
  most: number,
  totals: SelectionTotals,
): void {
  setAttribute(input, 'max', most);
  const value = String(Math.min(rounds, most));
  if (input.value !== value) input.value = value;
  const filled = most === 0 ? 0 : Math.min(rounds, most) / most;
  input.style.setProperty('--filled', `${filled * 100}%`);
  const parameters = formatPercent(totals.shares.parameters);
  setAttribute(
    input,
    'aria-valuetext',
    strings.sliderText(
      Math.min(rounds, most),
      most,
      strings.units(totals.sublayers, totals.experts),
      parameters,
    ),
  );
}

function drawTiles(
  tiles: Readonly<Record<'sublayers' | 'experts' | 'parameters' | 'bytes' | 'kv', Tile>> &
    Readonly<Record<'distance' | 'perplexity', Tile>>,
  { state }: Frame,
  totals: SelectionTotals,
): void {
  const { shares } = totals;
  tiles.sublayers.set(
    formatCount(totals.sublayers),
    strings.ofTotal(formatCount(state.model.sublayers.length)),
  );
  const experts = state.model.sublayers.reduce((sum, one) => sum + (one.experts?.count ?? 0), 0);
  tiles.experts.element.hidden = experts === 0;
  tiles.experts.set(formatCount(totals.experts), strings.ofTotal(formatCount(experts)));
  tiles.parameters.set(formatCompact(totals.parameters), formatPercent(shares.parameters));
  tiles.bytes.set(formatBytes(totals.bytes), formatPercent(shares.bytes));
  const { keepCache, evaluate } = state.cannot;
  if (keepCache === undefined) {
    tiles.kv.set(
      formatBytes(totals.kvBytesPerToken),
      strings.perToken(formatPercent(shares.kvBytesPerToken)),
    );
  } else {
    tiles.kv.set(strings.notYet, strings.noCache, keepCache);
  }
  const distance = selectedDistance(state);
  const metric = state.profile?.settings.metric ?? '';
  if (distance === undefined) {
    const byHand = state.profile !== undefined && state.selectedRounds === undefined;
    tiles.distance.set(strings.notYet, byHand ? strings.editedByHand : strings.notMeasured);
  } else {
    tiles.distance.set(formatDistance(distance), metric);
  }
  const { original, selected } = perplexitiesOf(state);
  if (evaluate !== undefined && selected === undefined) {
    tiles.perplexity.set(strings.notYet, strings.noPerplexity, evaluate);
  } else if (selected === undefined) {
    const note =
      original === undefined
        ? strings.notEvaluated
        : strings.perplexityOriginal(formatDistance(original));
    tiles.perplexity.set(strings.notYet, note);
  } else {
    tiles.perplexity.set(formatDistance(selected), perplexityNote(selected, original));
  }
}

function perplexityNote(selected: number, original: number | undefined): string {
  if (original === undefined) return '';
  if (selected === original) return strings.originalModel;
  const change = selected / original - 1;
  const sign = change >= 0 ? '+' : '−';
  return strings.perplexityChange(
    formatDistance(original),
    `${sign}${formatPercent(Math.abs(change))}`,
  );
}

/** Distance of the selected model, where a round of the search has measured it. */
function selectedDistance({ profile, selectedRounds }: Frame['state']): number | undefined {
  if (profile === undefined || selectedRounds === undefined) return undefined;
  if (selectedRounds > 0) return profile.rounds[selectedRounds - 1]?.distance;
  return profile.settings.metric === 'perplexity' ? undefined : 0;
}
