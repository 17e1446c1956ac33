import type { CalibrationRequest } from '../data/calibration';
import { integer } from './fields';
import type { RequestOf } from './fields';
import { calibrationFields, requestedCalibration } from './shared-fields';
import type { CalibrationFields } from './shared-fields';

/**
 * Fields for training data: like calibration, but with as many sequences as training needs,
 * independent of the setting for searches.
 */
export function learningFields(defaults: CalibrationRequest): CalibrationFields {
  const fields = calibrationFields(defaults);
  const { description, fallback, group } = fields.sequences;
  const own = integer({ description, fallback: `${fallback}, or all if there are fewer`, min: 1 });
  return { ...fields, sequences: { ...own, group } };
}

/** Calibration of a request for training; all available sequences if their number is not given. */
export function learningCalibration(
  request: RequestOf<CalibrationFields>,
  defaults: CalibrationRequest,
  maxPositions?: number,
): CalibrationRequest {
  return requestedCalibration(request, { ...defaults, upTo: true }, maxPositions);
}
