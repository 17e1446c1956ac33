import type { CalibrationRequest } from '../data/calibration';
import { integer } from './fields';
import type { RequestOf } from './fields';
import { calibrationFields, calibrationOf } from './shared-fields';
import type { CalibrationFields } from './shared-fields';

/**
 * Fields for training data: like calibration, but with as many sequences as training needs,
 * independent of the setting for searches.
 */
export function learningFields(defaults: CalibrationRequest): CalibrationFields {
  const fields = calibrationFields(defaults);
  const { description, fallback, group } = fields.sequences;
  const own = integer({ description, fallback: `${fallback}, or as many as there are`, min: 1 });
  return { ...fields, sequences: { ...own, group } };
}

/** The same, as many sequences as there are where their number is not given. */
export function learningOf(
  request: RequestOf<CalibrationFields>,
  defaults: CalibrationRequest,
  maxPositions?: number,
): CalibrationRequest {
  return calibrationOf(request, { ...defaults, upTo: true }, maxPositions);
}
