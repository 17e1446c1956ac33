import type { CalibrationRequest } from './calibration';

/** Value of the calibration option that selects random inputs. */
export const randomInputs = 'random';

export const defaultCalibration: CalibrationRequest = { sequences: 10, length: 256 };

/** Default for error-feedback quantization (GPTQ), which needs only the main directions of a layer's inputs. */
export const roundingCalibration: CalibrationRequest = { sequences: 32, length: 256, upTo: true };

/** Default for training quantization blocks: more text is better than more passes over it. */
export const distillationCalibration: CalibrationRequest = {
  sequences: 128,
  length: 256,
  upTo: true,
};

/** Default for sensitivity profiles. Smaller than for a search, since each layer is measured many times. */
export const sensitivityCalibration: CalibrationRequest = { sequences: 4, length: 128 };

/** Default for tasks, whose examples are short. */
export const answersCalibration: CalibrationRequest = { sequences: 50, length: 256, upTo: true };

/** Fills in defaults. Fewer sequences are accepted (`upTo`) only if their number was not given. */
export function orDefaults(
  asked: Partial<CalibrationRequest>,
  defaults: CalibrationRequest,
): CalibrationRequest {
  const { sequences, length = defaults.length, ...rest } = asked;
  return sequences === undefined
    ? { ...defaults, ...rest, length }
    : { ...rest, sequences, length };
}
