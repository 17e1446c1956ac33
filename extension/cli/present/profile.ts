import { glossary } from '../../core/glossary';
import { basename } from 'node:path';
import { formatDistance, formatPercent } from '../../core/format';
import { counted } from '../counted';
import { distanceLabel } from '../../core/quality-labels';
import { inEnglish } from '../../core/message';
import { selectionStability } from '../../core/selection-stability';
import { perplexityChange } from '../../core/prune/layer-profile';
import type { LayerProfile, Refinement, Stability } from '../../core/prune/layer-profile';
import { importanceHeatmap } from '../../core/report/contents/of-profile';
import { printHeatmap } from '../heatmap';
import type { Presenter } from '../presenter';
import { printTable } from '../table';
import type { Terminal } from '../terminal';
import { describePerplexity } from '../perplexity';

export const profile: Presenter<LayerProfile> = {
  terms: {
    distance: glossary.distance,
    round: glossary.round,
    perplexity: glossary.perplexity,
  },
  options: {},
  print: (result, { terminal, request }) => {
    printProfile(result, terminal);
    terminal.note(`Profile: ${String(request['out'])}`);
  },
};

/** Shows heatmap, rounds and cost. */
export function printProfile(result: LayerProfile, terminal: Terminal): void {
  const { search, metricDefinition, rounds, baselines, calibration, model, stability, refinement } =
    result;
  terminal.print(`${model.name} · ${describeCalibration(calibration)}`);
  terminal.print(metricDefinition);
  terminal.print();
  printHeatmap(terminal, importanceHeatmap(result));
  terminal.print();
  const columns = Object.entries(baselines);
  printTable(
    terminal,
    ['round', 'removed', 'distance', ...columns.map(([name]) => name)],
    rounds.map(({ removed, distance }, i) => [
      String(i + 1).padStart(5),
      removed,
      formatDistance(distance),
      ...columns.map(([, rows]) => formatDistance(rows[i]?.distance)),
    ]),
  );
  if (refinement !== undefined) {
    terminal.print(describeRefinement(refinement, rounds.length));
  }
  if (stability !== undefined) {
    printStability(stability, rounds.length, terminal);
  }
  printJudged(result, terminal);
  const share = search.sublayerEvaluations / search.naiveSublayerEvaluations;
  terminal.print(
    `${search.mode} search on ${search.device}: ${search.seconds.toFixed(1)} s, ` +
      `${search.sublayerEvaluations} sublayer evaluations, ${formatPercent(share)} of the naive search's`,
  );
}

/** `After 6 removals: distance 0.0290 (small), perplexity 29.40 → 32.40 (+10 %, moderate) on 2040 held-out tokens` */
function printJudged({ metric, rounds, evaluations }: LayerProfile, terminal: Terminal): void {
  const last = rounds.at(-1);
  if (last === undefined) {
    return;
  }
  const word = distanceLabel(metric, last.distance);
  const change = perplexityChange(evaluations, rounds.length);
  terminal.print(
    `After ${counted(rounds.length, 'removal')}: distance ${formatDistance(last.distance)}` +
      (word === undefined ? '' : ` (${inEnglish(word)})`) +
      (change === undefined
        ? ''
        : `, perplexity ${describePerplexity(change)} on ${counted(change.tokens, 'held-out token')}`),
  );
}

function describeRefinement(refinement: Refinement, removals: number): string {
  const { method, sets, from, to, exchanged } = refinement;
  const measured = `${counted(sets, 'set')} measured`;
  return exchanged === 0
    ? `Refinement by ${method} found nothing nearer to the original (${measured})`
    : `Refined by ${method}: distance ${formatDistance(from)} → ${formatDistance(to)}, ` +
        `${exchanged} of ${counted(removals, 'removal')} exchanged (${measured})`;
}

/** Prints the agreement between calibration texts, and the sublayers on which they disagree. */
function printStability(stability: Stability, removals: number, terminal: Terminal): void {
  const { texts, correlation, least, candidates } = stability;
  const measured = texts.map(
    ({ name, tokens }) => `${basename(name)} (${counted(tokens, 'token')})`,
  );
  terminal.print(
    `Importance on ${measured.join(', ')}: ` +
      `rank correlation ${correlation.toFixed(2)}, at least ${least.toFixed(2)}`,
  );
  const { common, distances } = selectionStability(stability, removals);
  terminal.print(
    `Least important on all of them: ${common} of ${removals}` +
      (distances === undefined
        ? ''
        : `; distance after ${counted(removals, 'removal')} on each: ${distances.map((one) => formatDistance(one)).join(', ')}`),
  );
  const dependent = candidates.filter(({ dependsOnText }) => dependsOnText);
  if (dependent.length > 0) {
    const listed = dependent.map(
      ({ sublayer, places: [best, worst] }) => `${sublayer} (rank ${best} to ${worst})`,
    );
    terminal.print(`Rank depends on the text: ${listed.join(', ')}`);
  }
}

/** Images and the like have no length. */
function describeCalibration({ sequences, length, source }: LayerProfile['calibration']): string {
  return length === 1
    ? `${counted(sequences, 'example')}, ${source}`
    : `${sequences} × ${counted(length, 'token')}`;
}
