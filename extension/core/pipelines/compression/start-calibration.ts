import type { CalibrationRequest } from '../../data/calibration';
import { defaultCalibration } from '../../data/calibration-defaults';
import { loadModelInputs } from '../../data/model-inputs';
import { checkpoint } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import type { LayeredModel } from '../../models/layered-model';
import type { ModelInput } from '../../models/model-input';
import type { DeviceName } from '../../runtime/device';
import { LayeredExecutor } from '../../runtime/layered-executor';
import type { HiddenState } from '../../runtime/tensors';
import type { MatrixProducts } from '../../linear-algebra/matrix-products';
import type { CompressionChoice } from '../../tensornet/compression-choice';
import { CalibrationPass } from '../../tensornet/statistics/calibration-pass';
import { defaultTokens } from '../../tensornet/statistics/profile-inputs';
import { gramRoom, memoryBesideFitting } from '../../tensornet/statistics/fitting-memory';
import { chosenLayers } from './layer-choices';
import type { DistillSettings } from '../../tensornet/repair/repair-settings';

/** Text or examples, and the bundled text that is the default. */
export interface CompressCalibration {
  readonly request: CalibrationRequest;
  /** Path of that text. */
  readonly bundledText: string;
}

/** Calibration of error-feedback rounding. */
export interface RoundingCalibration extends CompressCalibration {
  /** Seed of random inputs. */
  readonly seed?: number;
  /** Settings of training the rounded model on the calibration; undefined if it is not trained. */
  readonly distillation?: DistillSettings;
}

/**
 * Default calibration for the choices: more text for methods that are fitted to directions of a
 * layer's inputs, if there is enough.
 */
export function calibrationFor(
  model: LayeredModel,
  choices: readonly CompressionChoice[],
): CalibrationRequest {
  const { sequences, length } = defaultCalibration;
  const layers = [...chosenLayers(model, choices, []).values()].map(({ layer, choice }) => ({
    in: layer.in,
    method: choice.method,
  }));
  const own = Math.min(length, model.summary.maxPositions ?? length);
  const tokens = defaultTokens(layers);
  return tokens > sequences * length
    ? { sequences: Math.ceil(tokens / own), length: own, upTo: true }
    : { sequences, length: own };
}

/** Models and states that calibration passes through. */
interface CalibratedRun {
  readonly model: LayeredModel;
  readonly device: DeviceName;
  readonly memoryBytes: number;
}

/** Calibration pass and its executor, which the caller disposes of. */
export interface StartedCalibration {
  readonly pass: CalibrationPass;
  readonly executor: LayeredExecutor;
}

/**
 * Starts a pass over calibration through a model that lacks the sublayers and experts `removed`.
 * @param options.original the model before its embedding was changed, to compare the inputs of linear layers with
 */
export async function startCalibration(
  { model, device, memoryBytes }: CalibratedRun,
  products: MatrixProducts,
  { request, bundledText }: CompressCalibration,
  {
    seed = 0,
    removed = [],
    original,
  }: {
    readonly seed?: number;
    readonly removed?: readonly string[];
    readonly original?: LayeredModel;
  },
  context: Pick<JobContext, 'cancellation' | 'warn'>,
): Promise<StartedCalibration> {
  const { inputs, warnings } = await loadModelInputs(request, model, bundledText, seed);
  for (const warning of warnings) {
    context.warn(warning);
  }
  const comparesInputs = original !== undefined;
  const beside = memoryBesideFitting(model, memoryBytes, device, inputs, comparesInputs);
  const afterRun = async (): Promise<void> => checkpoint(context.cancellation);
  const originals = comparesInputs
    ? await embedAll(new LayeredExecutor(original, device, beside), inputs, afterRun)
    : undefined;
  const executor = new LayeredExecutor(model, device, beside);
  const pass = new CalibrationPass({
    executor,
    products,
    inputs,
    ...(originals === undefined ? {} : { originals }),
    gramBytes: gramRoom(memoryBytes),
    removed: new Set(removed.flatMap((id) => executor.units.numberOf(id) ?? [])),
    afterRun,
  });
  return { pass, executor };
}

/** States before the first sublayer, in main memory. Disposes of the executor. */
async function embedAll(
  executor: LayeredExecutor,
  inputs: readonly ModelInput[],
  afterRun: () => Promise<void>,
): Promise<HiddenState[]> {
  try {
    const states: HiddenState[] = [];
    for (const input of inputs) {
      states.push(await executor.states.toHost(await executor.embed(input)));
      await afterRun();
    }
    return states;
  } finally {
    await executor.dispose();
  }
}
