import type { CalibrationRequest } from '../../data/calibration';
import { defaultCalibration } from '../../data/calibration-defaults';
import { loadModelInputs } from '../../data/model-inputs';
import type { ModelInputs } from '../../data/model-inputs';
import type { LayeredModel } from '../../models/layered-model';
import { compressionMethods, resolveVariant } from '../compression-methods';
import type { VariantChoice } from '../compression-methods';
import { counted, say } from '../../message';
import type { Message } from '../../message';
import type { Compression } from '../compression-choice';

/** Inputs to measure changes of a model on, and to fit them to. */
export interface ProfileInputs {
  readonly measured: ModelInputs;
  /** Further inputs from the same source; undefined if it has no more. */
  readonly fitting: ModelInputs | undefined;
}

/** Input size of a layer, and its compression method. */
interface FittedLayer extends Pick<Compression, 'method'> {
  readonly in: number;
}

/** Maximum default number of tokens, however wide the layers. */
const mostTokens = 32_768;

/** Default number of calibration tokens: more for methods that are fitted to directions of a layer's inputs. */
export function defaultTokens(layers: readonly FittedLayer[]): number {
  const { sequences, length } = defaultCalibration;
  const wanted = layers.reduce(
    (most, layer) => Math.max(most, layer.in * compressionMethods[layer.method].tokensPerInput),
    0,
  );
  return Math.max(sequences * length, Math.min(mostTokens, wanted));
}

/** Seed, and the compressions that are fitted to each layer. */
interface ProfileSettings {
  readonly seed: number;
  readonly fitted: readonly (FittedLayer & VariantChoice)[];
}

/**
 * Loads the requested inputs for measuring, and further ones for fitting, in the number that compression is calibrated
 * on: calibrated compressions (low rank, GPTQ) overfit the inputs that they are fitted to.
 * @throws UserError like {@link loadModelInputs}
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
    compressionMethods[one.method].needsCalibration(resolveVariant(one, true)),
  );
  if (looks && found === 0) {
    warn(
      say`No sequences are left to fit compressions to, besides the ${counted(after, 'sequence')} that are measured. Methods that use inputs (low rank, GPTQ, scaled MPO) are fitted to the same inputs and seem better than they are. Choose a longer text or more examples, or measure fewer.`,
    );
  } else if (looks && found < wanted) {
    warn(
      say`Only ${found} sequences are left to fit compressions to, besides the ${counted(after, 'sequence')} that are measured; compressing uses ${wanted}. Low rank may seem worse than it is.`,
    );
  }
  return { measured, fitting: found === 0 ? undefined : further };
}

/**
 * Number of windows for `tokens` tokens, or the default number of examples without text; at least the number that is
 * measured.
 */
function fittingSequences({ inputs, summary }: ModelInputs, tokens: number): number {
  const isText = inputs[0] instanceof Int32Array;
  const defaultCount = isText ? Math.ceil(tokens / summary.length) : defaultCalibration.sequences;
  return Math.max(inputs.length, defaultCount);
}
