import type { CalibrationRequest } from './calibration';

/** Asks for random numbers in place of a calibration file. */
export const randomInputs = 'random';

export const defaultCalibration: CalibrationRequest = { sequences: 10, length: 256 };

/** For rounding by error feedback, which is fitted to directions of a layer's inputs; less text will do. */
export const roundingCalibration: CalibrationRequest = { sequences: 32, length: 256, upTo: true };

/** Where each layer is measured many times, less text than a search takes. */
export const sensitivityCalibration: CalibrationRequest = { sequences: 4, length: 128 };

/** Of a task, whose examples are short. */
export const answersCalibration: CalibrationRequest = { sequences: 50, length: 256, upTo: true };

/** What is asked for, and the usual where nothing is. Fewer sequences will do only where nobody gave their number. */
export function orDefaults(
  asked: Partial<CalibrationRequest>,
  usual: CalibrationRequest,
): CalibrationRequest {
  const { sequences, length = usual.length, ...rest } = asked;
  return sequences === undefined ? { ...usual, ...rest, length } : { ...rest, sequences, length };
}
