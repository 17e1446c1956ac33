import { basename } from 'node:path';
import { distanceLabel, perplexityLabel } from '../../quality-labels';
import { formatChange, formatCount, formatDistance, formatDuration } from '../../format';
import { inEnglish } from '../../message';
import { selectionStability } from '../../selection-stability';
import { bundledText, perplexityChange } from '../../prune/layer-profile';
import type { LayerProfile } from '../../prune/layer-profile';
import { describeOrigin, numbers } from '../report';
import type { Heatmap, HeatmapCell, Report, Section, Series } from '../report';

/** Number of candidates listed as the cheapest to remove. */
const listed = 10;

export function profileReport(profile: LayerProfile): Report {
  const { model, calibration, metric, metricDefinition, search, rounds } = profile;
  const candidates = profile.candidates.filter(({ distance }) => distance !== null);
  return {
    title: `Layer profile of ${model.name}`,
    facts: [
      { name: 'Architecture', value: model.architecture },
      { name: 'Parameters', value: formatCount(model.parameters) },
      { name: 'Sublayers', value: `${model.sublayers.length} in ${model.blocks} blocks` },
      {
        name: 'Calibration',
        value: `${calibration.sequences} × ${calibration.length} tokens of ${calibration.source === 'bundled' ? 'the bundled text' : basename(calibration.source)}`,
      },
      { name: 'Distance', value: `${metric}: ${metricDefinition}` },
      {
        name: 'Search',
        value: `${search.mode}, ${formatDuration(search.seconds)} on ${search.device}`,
      },
    ],
    sections: [
      {
        title: 'Importance of each sublayer',
        text: [
          'Change of the output when only this sublayer is removed. Sublayers with a small distance are the cheapest to remove.',
        ],
        figure: importanceHeatmap(profile),
        table: {
          title: 'Cheapest to remove',
          columns: [
            { title: 'sublayer' },
            { title: 'distance', isNumeric: true },
            { title: 'how much' },
          ],
          rows: [...candidates]
            .sort((a, b) => (a.distance ?? 0) - (b.distance ?? 0))
            .slice(0, listed)
            .map(({ sublayer, distance }) => [
              sublayer,
              formatDistance(distance),
              describeDistance(metric, distance),
            ]),
        },
      },
      ...(rounds.length === 0 ? [] : [orderSection(profile)]),
      ...perplexitySection(profile),
      ...stabilitySection(profile),
    ],
    origin: describeOrigin(profile),
  };
}

const describeDistance = (metric: string, distance: number | null): string => {
  const word = distance === null ? undefined : distanceLabel(metric, distance);
  return word === undefined ? '–' : inEnglish(word);
};

/** Heatmap of distances by block and kind, labeled with the removal order. */
export function importanceHeatmap({ candidates, rounds, model }: LayerProfile): Heatmap {
  const order = new Map(rounds.map(({ removed }, i) => [removed, String(i + 1)]));
  const lines = new Map<string, Map<number, HeatmapCell>>();
  for (const { sublayer, distance } of candidates) {
    const [, block = '0', ...names] = sublayer.split('.');
    const name = names.join(' ').replace('feedforward', 'MLP') || 'block';
    const cells = lines.get(name) ?? new Map<number, HeatmapCell>();
    cells.set(Number(block), { value: distance, text: order.get(sublayer) ?? '' });
    lines.set(name, cells);
  }
  return {
    kind: 'heatmap',
    caption: 'distance if removed alone; numbers: order of removal',
    blocks: [...new Set(model.sublayers.map(({ block }) => block))],
    lines: [...lines].map(([name, cells]) => ({ name, cells })),
    format: (value) => value.toPrecision(2),
  };
}

function orderSection({ rounds, baselines, metric }: LayerProfile): Section {
  const measured = [['search', rounds] as const, ...Object.entries(baselines)];
  const series = measured.map(([name, steps]): Series => ({
    name,
    points: steps.map(({ distance }, i) => ({ x: i + 1, y: distance })),
  }));
  return {
    title: 'Order of removal',
    figure: {
      kind: 'lines',
      caption: 'Distance from the original as sublayers are removed one after the other.',
      x: { title: 'sublayers removed', isWhole: true },
      y: { title: `distance (${metric})` },
      series,
    },
    table: {
      title: 'Rounds',
      columns: [
        { title: 'round', isNumeric: true },
        { title: 'removed' },
        ...measured.map(([name]) => ({ title: name, isNumeric: true })),
      ],
      rows: rounds.map(({ removed }, i) => [
        String(i + 1),
        removed,
        ...measured.map(([, steps]) => formatDistance(steps[i]?.distance)),
      ]),
    },
  };
}

function perplexitySection({ evaluations, rounds: { length } }: LayerProfile): Section[] {
  if (evaluations.length === 0) return [];
  const change = perplexityChange(evaluations, length);
  return [
    {
      title: 'Perplexity',
      ...(change === undefined ? {} : { text: [describeChange(change, length)] }),
      table: {
        columns: [
          { title: 'sublayers removed', isNumeric: true },
          { title: 'text' },
          ...numbers('tokens', 'perplexity'),
        ],
        rows: evaluations.map(({ rounds, text, tokens, perplexity }) => [
          String(rounds),
          text === bundledText ? 'the bundled text' : basename(text),
          String(tokens),
          perplexity.toFixed(2),
        ]),
      },
    },
  ];
}

function describeChange(
  { before, after, tokens }: NonNullable<ReturnType<typeof perplexityChange>>,
  rounds: number,
): string {
  const word = inEnglish(perplexityLabel(before, after));
  return `Perplexity on held-out text, lower is better: ${before.toFixed(2)} → ${after.toFixed(2)} after ${rounds} ${rounds === 1 ? 'removal' : 'removals'} (${formatChange(before, after)}: ${word}), on ${tokens} tokens.`;
}

function stabilitySection({ stability, rounds }: LayerProfile): Section[] {
  if (stability === undefined) return [];
  const { texts, correlation, least, candidates } = stability;
  const dependent = candidates.filter(({ dependsOnText }) => dependsOnText);
  const { common, distances } = selectionStability(stability, rounds.length);
  const stableChoice =
    `Least important on all of them: ${common} of ${rounds.length}.` +
    (distances === undefined
      ? ''
      : ` Distance after all removals on each: ${distances.map((one) => formatDistance(one)).join(', ')}.`);
  return [
    {
      title: 'Stability',
      text: [
        `Importance was measured on ${texts.length} texts (${texts.map(({ name }) => basename(name)).join(', ')}): rank correlation ${correlation.toFixed(2)}, at least ${least.toFixed(2)}. ${dependent.length === 0 ? 'No rank depends' : `The ranks of ${dependent.length} of ${candidates.length} sublayers depend`} on the text.`,
        stableChoice,
      ],
      ...(dependent.length === 0
        ? {}
        : {
            table: {
              columns: [{ title: 'sublayer' }, ...numbers('best rank', 'worst rank')],
              rows: dependent.map(({ sublayer, places: [best, worst] }) => [
                sublayer,
                String(best),
                String(worst),
              ]),
            },
          }),
    },
  ];
}
