import type { CalibrationRequest } from '../../data/calibration';
import { defaultCalibration } from '../../data/calibration-defaults';
import { loadModelInputs } from '../../data/model-inputs';
import { checkpoint } from '../../jobs/job';
import type { JobContext } from '../../jobs/job';
import { idsPort } from '../../models/example';
import type { LayeredModel } from '../../models/layered-model';
import type { LayeredExecutor } from '../../runtime/layered-executor';
import type { MatrixProducts } from '../../linear-algebra/matrix-products';
import { CalibrationPass } from '../../tensornet/statistics/calibration-pass';

/** A text or examples, and the text that comes with Espalier for where no file is named. */
export interface CompressCalibration {
  readonly request: CalibrationRequest;
  /** Path of that text. */
  readonly bundledText: string;
}

/** For a model that reads text: the text that comes with Espalier, where nobody names another. */
export function usualCalibration(
  { inputs, summary }: LayeredModel,
  bundledText: string,
): CompressCalibration | undefined {
  const { sequences, length } = defaultCalibration;
  return idsPort(inputs) === undefined
    ? undefined
    : {
        request: { sequences, length: Math.min(length, summary.maxPositions ?? length) },
        bundledText,
      };
}

/** A pass over calibration through a model that lacks the sublayers and experts `removed`. */
export async function startCalibration(
  executor: LayeredExecutor,
  products: MatrixProducts,
  { request, bundledText }: CompressCalibration,
  { seed = 0, removed = [] }: { readonly seed?: number; readonly removed?: readonly string[] },
  context: Pick<JobContext, 'cancellation' | 'warn'>,
): Promise<CalibrationPass> {
  const { inputs, warnings } = await loadModelInputs(request, executor.model, bundledText, seed);
  for (const warning of warnings) {
    context.warn(warning);
  }
  return new CalibrationPass({
    executor,
    products,
    inputs,
    removed: new Set(removed.flatMap((id) => executor.units.numberOf(id) ?? [])),
    afterRun: async () => checkpoint(context.cancellation),
  });
}
