import { counted } from '../../core/message';
import { l10n } from 'vscode';
import { distanceLabel, perplexityLabel } from '../../core/quality-labels';
import type { BaseEvaluation, EvaluationResult, LlamaTiming } from '../../core/evaluate/evaluation';
import type { Verdict } from '../../core/evaluate/requirements';
import { describeMeasured } from '../../core/evaluate/requirements';
import type { Quality } from '../../core/evaluate/measure-quality';
import type { Interval } from '../../core/evaluate/paired';
import {
  formatBytes,
  formatChange,
  formatCount,
  formatDistance,
  formatPercent,
  formatSpeed,
} from '../../core/format';
import { verdictWord } from '../../core/operations/outcomes';
import type { ReportSection, ReportTile } from '../../protocol/report';
import { localise } from '../localise';

/** Size of a written model. */
export const sizeTile = (before: number, after: number): ReportTile => ({
  name: l10n.t('Size'),
  value: formatBytes(after),
  note: compareBytes(before, after),
});

const compareBytes = (before: number, after: number): string =>
  l10n.t('instead of {0} ({1})', formatBytes(before), formatChange(before, after));

/** Memory of weights, keys and values. */
export const memoryTile = (before: number, after: number, tokens: number): ReportTile => ({
  name: l10n.t('Memory'),
  value: formatBytes(after),
  note: l10n.t(
    'instead of {0}, at {1} tokens of context',
    formatBytes(before),
    formatCount(tokens),
  ),
});

function perplexityTile(before: number, after: number, ratio: Interval | undefined): ReportTile {
  const isSame = ratio !== undefined && ratio.low <= 1 && ratio.high >= 1;
  return {
    name: l10n.t('Perplexity'),
    value: formatChange(before, after),
    note: [
      l10n.t('{0} → {1}', before.toPrecision(4), after.toPrecision(4)),
      ...(ratio === undefined ? [] : [ends(ratio, (value) => formatChange(1, value))]),
      isSame ? l10n.t('no significant difference') : localise(perplexityLabel(before, after)),
    ].join(' · '),
  };
}

const ends = ({ low, high }: Interval, format: (value: number) => string): string =>
  l10n.t('95 % interval {0} to {1}', format(low), format(high));

const agreementTile = (share: number, note: string): ReportTile => ({
  name: l10n.t('Top-1 agreement'),
  value: formatPercent(share),
  note,
});

/** Tiles of an evaluation: changes if two models were evaluated, else the numbers of one. */
export function evaluationTiles(result: EvaluationResult | BaseEvaluation): ReportTile[] {
  const { perplexity, against, perplexityRatio, klDivergence, agreement, llamaCpp } = result;
  const nats = (value: number): string => value.toPrecision(3);
  return [
    against === undefined
      ? { name: l10n.t('Perplexity'), value: perplexity.toPrecision(4), note: '' }
      : perplexityTile(against.perplexity, perplexity, perplexityRatio),
    ...(klDivergence === undefined
      ? []
      : [
          {
            name: l10n.t('KL divergence'),
            value: nats(klDivergence.value),
            note: `${l10n.t('nats per token')} · ${ends(klDivergence, nats)}`,
          },
        ]),
    ...(agreement === undefined
      ? []
      : [agreementTile(agreement.value, ends(agreement, formatPercent))]),
    ...speedTiles(llamaCpp, against?.llamaCpp),
  ];
}

/** Speed in llama.cpp, if it was timed there. */
function speedTiles(after: LlamaTiming | undefined, before: LlamaTiming | undefined): ReportTile[] {
  if (after === undefined) {
    return [];
  }
  const tile = (
    name: string,
    key: 'prefillTokensPerSecond' | 'decodeTokensPerSecond',
  ): ReportTile => {
    const speeds = [...(before === undefined ? [] : [before[key]]), after[key]];
    return {
      name,
      value: l10n.t('{0} tokens/s', speeds.map(formatSpeed).join(' → ')),
      note: l10n.t('in llama.cpp {0}, CPU threads: {1}', after.release, after.threads),
    };
  };
  return [
    tile(l10n.t('Decode'), 'decodeTokensPerSecond'),
    tile(l10n.t('Prefill'), 'prefillTokensPerSecond'),
  ];
}

/** Tiles of the comparison after a model was written. */
export function qualityTiles({
  metric,
  distance,
  top1Agreement,
  perplexity,
  memory,
}: Quality): ReportTile[] {
  const word = distanceLabel(metric, distance);
  return [
    ...(memory === undefined ? [] : [memoryTile(memory.before, memory.after, 4096)]),
    ...(perplexity === undefined
      ? []
      : [perplexityTile(perplexity.before, perplexity.after, undefined)]),
    {
      name: metric === 'js' ? l10n.t('JS divergence') : l10n.t('Change of the output'),
      value: formatDistance(distance),
      note: [
        metric === 'js' ? l10n.t('nats') : l10n.t('relative to the original'),
        ...(word === undefined ? [] : [localise(word)]),
      ].join(' · '),
    },
    ...(top1Agreement === undefined ? [] : [agreementTile(top1Agreement, '')]),
  ];
}

/** Note on the data that {@link qualityTiles} were measured on. */
export const qualityNote = ({ perplexity, positions }: Quality): string =>
  perplexity === undefined
    ? l10n.t('Measured on {0} of the output.', localise(counted(positions, 'position')))
    : l10n.t('Measured on {0} tokens of held-out text.', formatCount(positions));

/** Requirements with their measured values. */
export function verdictSections(verdict: Verdict | undefined): ReportSection[] {
  if (verdict === undefined) {
    return [];
  }
  const { outcome, limits, speed } = verdict;
  return [
    {
      title: l10n.t('Requirements'),
      note: localise(verdictWord(outcome)),
      table: {
        columns: [
          { title: l10n.t('Limit') },
          { title: l10n.t('Measured'), isNumber: true },
          { title: l10n.t('95 % interval'), isNumber: true },
          { title: l10n.t('Verdict') },
        ],
        rows: limits.map(({ limit, measured, outcome: own }) => {
          const { value = '–', ends: range } =
            measured === undefined ? {} : describeMeasured(limit, measured);
          return [
            limit,
            value,
            range === undefined ? '–' : l10n.t('{0} to {1}', ...range),
            localise(verdictWord(own)),
          ];
        }),
      },
      ...(speed === undefined
        ? {}
        : {
            texts: [
              l10n.t(
                'Generated tokens per second on this machine: {0} → {1}.',
                speed.before.toPrecision(3),
                speed.after.toPrecision(3),
              ),
            ],
          }),
    },
  ];
}
