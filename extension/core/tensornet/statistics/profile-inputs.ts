import type { CalibrationRequest } from '../../data/calibration';
import { defaultCalibration } from '../../data/calibration-defaults';
import { loadModelInputs } from '../../data/model-inputs';
import type { ModelInputs } from '../../data/model-inputs';
import type { LayeredModel } from '../../models/layered-model';
import { compressionMethods, variantOf } from '../compression-methods';
import type { VariantChoice } from '../compression-methods';
import { defaultTokens } from './default-tokens';
import type { FittedLayer } from './default-tokens';
import { counted, say } from '../../message';
import type { Message } from '../../message';

/** What changes of a model are measured on, and what they are fitted to. */
export interface ProfileInputs {
  readonly measured: ModelInputs;
  /** Further inputs from the same source; undefined where it has no more than are measured. */
  readonly fitting: ModelInputs | undefined;
}

/** Seed of choices and random numbers, and what is fitted to each layer. */
interface ProfileSettings {
  readonly seed: number;
  readonly fitted: readonly (FittedLayer & VariantChoice)[];
}

/**
 * Loads what a request asks for to measure on, and, as compressions that look at inputs (low rank,
 * GPTQ) fit those too well to be judged on them, as many further ones as compressing is calibrated on.
 * @throws UserError as {@link loadModelInputs}.
 */
export async function loadProfileInputs(
  request: CalibrationRequest,
  model: LayeredModel,
  bundledText: string,
  { seed, fitted }: ProfileSettings,
  warn: (message: Message) => void,
): Promise<ProfileInputs> {
  const measured = await loadModelInputs(request, model, bundledText, seed);
  for (const warning of measured.warnings) {
    warn(warning);
  }
  const wanted = fittingSequences(measured, defaultTokens(fitted));
  const after = measured.inputs.length;
  const further = await loadModelInputs(
    { ...request, sequences: wanted, after },
    model,
    bundledText,
    seed,
  );
  const found = further.inputs.length;
  const looks = fitted.some((one) =>
    compressionMethods[one.method].needsCalibration(variantOf(one, true)),
  );
  if (looks && found === 0) {
    warn(
      say`There is nothing to fit compressions to besides the ${counted(after, 'sequence')} that are measured. Methods that use inputs (low rank, GPTQ, scaled MPO) are fitted to the same inputs and seem better than they are. Give a longer text or more examples, or measure fewer.`,
    );
  } else if (looks && found < wanted) {
    warn(
      say`Besides the ${counted(after, 'sequence')} that are measured there are only ${found} to fit compressions to; compressing uses ${wanted}. Low rank may seem worse than it is.`,
    );
  }
  return { measured, fitting: found === 0 ? undefined : further };
}

/** Windows of so many tokens, or the usual number of examples where inputs are none; no fewer than are measured. */
function fittingSequences({ inputs, summary }: ModelInputs, tokens: number): number {
  const isText = inputs[0] instanceof Int32Array;
  const usual = isText ? Math.ceil(tokens / summary.length) : defaultCalibration.sequences;
  return Math.max(inputs.length, usual);
}
