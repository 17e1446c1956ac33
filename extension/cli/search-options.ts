import { baselineNames, defaultSettings, levels, searchModes } from '../core/prune/options';
import type { Budget, SearchSettings } from '../core/prune/options';
import type { CalibrationRequest } from '../core/data/calibration';
import { defaultCalibration } from '../core/data/calibration-defaults';
import { metricNames } from '../core/metrics/metric-names';
import { defaultTextPolicy, textPolicies } from '../core/data/text-scores';
import { UsageError } from './command';
import type { Arguments, OptionTypes } from './command';

export const searchOptionTypes: OptionTypes = {
  calibration: { type: 'string' },
  'calibration-scores': { type: 'string' },
  'calibration-policy': { type: 'string' },
  sequences: { type: 'string' },
  length: { type: 'string' },
  metric: { type: 'string' },
  search: { type: 'string' },
  level: { type: 'string' },
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
  '[--calibration FILE] [--sequences 10] [--length 256]',
  `[--calibration-scores FILE [--calibration-policy ${textPolicies.join('|')}]]`,
  `[--metric ${metricNames.join('|')}]`,
  `[--search ${searchModes.join('|')}] [--level ${levels.join('|')}]`,
  '[--remove N | --ratio R | --parameters R | --all] [--exclude X] [--protect ID,…]',
  '[--every-distance] [--no-baselines] [--seed N]',
].join('\n    ');

/** The search that the options ask for; what they leave open is the default. */
export function readSearchSettings(args: Arguments): SearchSettings {
  const exclude = args.number('exclude') ?? defaultSettings.exclude;
  if (exclude < 0 || exclude > 1) {
    throw new UsageError(`--exclude takes a fraction from 0 to 1, not ${exclude}.`);
  }
  return {
    metric: args.choice('metric', metricNames, defaultSettings.metric),
    mode: args.choice('search', searchModes, defaultSettings.mode),
    level: args.choice('level', levels, defaultSettings.level),
    budget: readBudget(args) ?? defaultSettings.budget,
    protect: args.texts('protect'),
    exclude,
    everyDistance: args.flag('every-distance'),
    baselines: args.flag('no-baselines') ? [] : [...baselineNames],
    seed: args.number('seed') ?? defaultSettings.seed,
  };
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

/** Calibration as asked for; sequences no longer than the model can read unless a length is given. */
export function readCalibration(
  args: Arguments,
  maxPositions = Number.POSITIVE_INFINITY,
): CalibrationRequest {
  const file = args.text('calibration');
  const scores = args.text('calibration-scores');
  const length = args.number('length');
  if (scores !== undefined && length !== undefined) {
    throw new UsageError(
      '--length is that of the scored windows where --calibration-scores is given.',
    );
  }
  if (scores === undefined && args.text('calibration-policy') !== undefined) {
    throw new UsageError('--calibration-policy chooses by scores: give --calibration-scores too.');
  }
  const policy = args.choice('calibration-policy', textPolicies, defaultTextPolicy);
  return {
    ...(file === undefined ? {} : { file }),
    ...(scores === undefined ? {} : { scores: { file: scores, policy } }),
    sequences: args.number('sequences') ?? defaultCalibration.sequences,
    length: length ?? Math.min(defaultCalibration.length, maxPositions),
  };
}
