import { existsSync, statSync } from 'node:fs';
import type { ModelSummary } from '../models/model-summary';
import { defaultCalibration } from '../data/calibration-defaults';
import type { OpenedModel } from '../models/opened-model';
import { windowsPerBatch } from '../runtime/windows';
import type { ModelWork } from '../runtime/speed/model-speed';
import type { RequestOf } from './fields';
import { requestedCalibration } from './shared-fields';
import type { CalibrationFields } from './shared-fields';
import { runWork } from './work';
import type { Work } from './work';

/**
 * Approximate bytes per token: 3.3 bytes of English with a vocabulary of 2,000, 4.5 with 49,000.
 */
const bytesPerToken = 4;

/** Estimated number of tokens of a text from its file size; undefined if the file is missing, which the run reports. */
export const roughTokens = (file: string): number | undefined =>
  existsSync(file) && statSync(file).isFile() ? statSync(file).size / bytesPerToken : undefined;

/** Work of running a whole model, its head included, over some tokens in windows of a length. */
export const wholeModel = (
  tokens: number,
  { sublayers }: Pick<ModelSummary, 'sublayers'>,
  length: number,
): ModelWork => ({
  sublayerTokens: tokens * sublayers.length,
  readoutTokens: tokens,
  passes: (executor) => Math.ceil(tokens / length / windowsPerBatch(executor, length)),
});

/** Work of running the sublayers once on all tokens of the calibration text, without the head. */
export function calibrationPassWork(
  request: RequestOf<CalibrationFields>,
  model: OpenedModel,
): Work {
  const { summary } = model;
  const { sequences, length } = requestedCalibration(
    request,
    defaultCalibration,
    summary.maxPositions,
  );
  const sublayerTokens = sequences * length * summary.sublayers.length;
  const runs = { sublayerTokens, readoutTokens: 0, passes: () => 1 };
  return runWork(model, runs, length);
}
