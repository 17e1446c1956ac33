import type { CalibrationRequest } from '../../core/data/calibration';
import { defaultCalibration, orDefaults } from '../../core/data/calibration-defaults';
import { defaultTextPolicy, textPolicies } from '../../core/data/text-scores';
import { UsageError } from './command';
import type { Arguments, OptionTypes } from './command';

export const calibrationOptionTypes: OptionTypes = {
  calibration: { type: 'string' },
  'calibration-scores': { type: 'string' },
  'calibration-policy': { type: 'string' },
  sequences: { type: 'string' },
  length: { type: 'string' },
};

/** Usage of these options, with the numbers that stand where none are given. */
export function calibrationUsage({ sequences, length } = defaultCalibration): string {
  return `[--calibration FILE] [--sequences ${sequences}] [--length ${length}]
    [--calibration-scores FILE [--calibration-policy ${textPolicies.join('|')}]]`;
}

/** Calibration as asked for; sequences no longer than the model can read unless a length is given. */
export function readCalibration(
  args: Arguments,
  maxPositions = Number.POSITIVE_INFINITY,
  usual: CalibrationRequest = defaultCalibration,
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
  const sequences = args.number('sequences');
  return orDefaults(
    {
      ...(file === undefined ? {} : { file }),
      ...(scores === undefined ? {} : { scores: { file: scores, policy } }),
      ...(sequences === undefined ? {} : { sequences }),
      ...(length === undefined ? {} : { length }),
    },
    { ...usual, length: Math.min(usual.length, maxPositions) },
  );
}
