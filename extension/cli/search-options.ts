import {
  baselineNames,
  defaultSettings,
  granularities,
  isConfidence,
  searchModes,
} from '../core/prune/options';
import type { Budget, SearchMode, SearchSettings } from '../core/prune/options';
import { metricNames } from '../core/metrics/metric-names';
import { calibrationOptionTypes, calibrationUsage } from './calibration-options';
import { UsageError } from './command';
import type { Arguments, OptionTypes } from './command';

export const searchOptionTypes: OptionTypes = {
  ...calibrationOptionTypes,
  metric: { type: 'string' },
  search: { type: 'string' },
  confidence: { type: 'string' },
  granularity: { type: 'string' },
  remove: { type: 'string' },
  ratio: { type: 'string' },
  parameters: { type: 'string' },
  all: { type: 'boolean' },
  exclude: { type: 'string' },
  protect: { type: 'string', multiple: true },
  'every-distance': { type: 'boolean' },
  'no-baselines': { type: 'boolean' },
  seed: { type: 'string' },
};

export const searchUsage = [
  calibrationUsage(),
  `[--metric ${metricNames.join('|')}]`,
  `[--search ${searchModes.join('|')}] [--confidence C] [--granularity ${granularities.join('|')}]`,
  '[--remove N | --ratio R | --parameters R | --all] [--exclude X] [--protect ID,…]',
  '[--every-distance] [--no-baselines] [--seed N]',
].join('\n    ');

/** The search that the options ask for; what they leave open is the default. */
export function readSearchSettings(args: Arguments): SearchSettings {
  const exclude = args.number('exclude') ?? defaultSettings.exclude;
  if (exclude < 0 || exclude > 1) {
    throw new UsageError(`--exclude takes a fraction from 0 to 1, not ${exclude}.`);
  }
  const mode = args.choice('search', searchModes, defaultSettings.mode);
  if (args.flag('every-distance') && mode === 'adaptive') {
    throw new UsageError('--every-distance needs --search exact or lazy.');
  }
  return {
    metric: args.choice('metric', metricNames, defaultSettings.metric),
    mode,
    confidence: readConfidence(args, mode),
    granularity: args.choice('granularity', granularities, defaultSettings.granularity),
    budget: readBudget(args) ?? defaultSettings.budget,
    protect: args.texts('protect'),
    exclude,
    everyDistance: args.flag('every-distance'),
    baselines: args.flag('no-baselines') ? [] : [...baselineNames],
    seed: args.number('seed') ?? defaultSettings.seed,
  };
}

function readConfidence(args: Arguments, mode: SearchMode): number {
  const confidence = args.number('confidence');
  if (confidence !== undefined && mode !== 'adaptive') {
    throw new UsageError(`--confidence needs --search adaptive, not ${mode}.`);
  }
  if (confidence !== undefined && !isConfidence(confidence)) {
    throw new UsageError(`--confidence takes a number above 0.5 and up to 1, not ${confidence}.`);
  }
  return confidence ?? defaultSettings.confidence;
}

/** How much to remove, or undefined where no option says so. */
export function readBudget(args: Arguments): Budget | undefined {
  const count = args.number('remove');
  const ratio = args.number('ratio');
  const parameters = args.number('parameters');
  const budgets: Budget[] = [
    ...(count === undefined ? [] : [{ kind: 'count' as const, count }]),
    ...(ratio === undefined ? [] : [{ kind: 'ratio' as const, ratio }]),
    ...(parameters === undefined ? [] : [{ kind: 'parameters' as const, ratio: parameters }]),
    ...(args.flag('all') ? [{ kind: 'all' as const }] : []),
  ];
  if (budgets.length > 1) {
    throw new UsageError('Give only one of --remove, --ratio, --parameters and --all.');
  }
  return budgets[0];
}
