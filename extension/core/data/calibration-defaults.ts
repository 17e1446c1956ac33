import type { CalibrationRequest } from './calibration';

/** Asks for random numbers in place of a calibration file. */
export const randomInputs = 'random';

export const defaultCalibration: CalibrationRequest = { sequences: 10, length: 256 };
