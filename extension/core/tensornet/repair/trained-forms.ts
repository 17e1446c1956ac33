import { floatDTypes } from '../../checkpoints/lazy-tensor';
import type { LayeredModel } from '../../models/layered-model';
import type { LinearLayer, MatrixEncoding } from '../../models/matrix-encoding';
import { say } from '../../message';
import type { OpenedModel } from '../../models/opened-model';
import { hasTrainableRouters, routerLayers } from '../../models/layered-model';
import { UserError } from '../../user-error';
import { trainedTensors } from './trainable-encoding';
import { rootMeanSquare } from '../../linear-algebra/small-matrix';
import { floatsIn } from '../../runtime/tensors';
import type { TrainableModel } from '../../training/trainable-model';

/** Linear layers to train: compressed ones, all but routers, or only the routers of MoE layers. */
export const trainedLayers = ['compressed', 'all', 'routers'] as const;
export type TrainedLayers = (typeof trainedLayers)[number];

const allLinearLayers = (model: LayeredModel): readonly LinearLayer[] =>
  model.summary.sublayers.flatMap((_, index) => model.sublayer(index).linearLayers);

export function defaultTrains({
  model,
  format,
}: Pick<OpenedModel, 'model' | 'format'>): TrainedLayers {
  if (format === 'gguf') {
    return 'routers';
  }
  return allLinearLayers(model).some(({ encoding }) => encoding !== undefined)
    ? 'compressed'
    : 'all';
}

/**
 * Encodings to train, by the ids of their layers; a dense one represents a stored weight.
 * @throws UserError if there are none
 */
export function formsToTrain(
  student: LayeredModel,
  trains: TrainedLayers,
): Map<string, MatrixEncoding> {
  const { summary } = student;
  if (trains === 'routers') {
    return routersToTrain(student);
  }
  const forms = allLinearLayers(student).flatMap((layer): [string, MatrixEncoding][] => {
    const { id, encoding, weight, transposed } = layer;
    const isPlain = !transposed && floatDTypes.includes(weight.dtype);
    const dense = trains === 'all' && isPlain ? { kind: 'dense' as const, weight } : undefined;
    const found = encoding ?? dense;
    return found === undefined || trainedTensors(found).length === 0 ? [] : [[id, found]];
  });
  if (forms.length === 0) {
    throw new UserError(
      'nothing-to-train',
      say`The model has no linear layer that could be trained.`,
      {
        file: summary.path,
        remedy:
          trains === 'all'
            ? say`Repair a folder whose weights are float32, float16 or bfloat16.`
            : say`Train all layers (--train all), or compress the model first.`,
      },
    );
  }
  return new Map(forms);
}

/** @throws UserError if there are no routers, or they are quantized */
function routersToTrain(student: LayeredModel): Map<string, MatrixEncoding> {
  if (!hasTrainableRouters(student)) {
    throw new UserError(
      'routers-not-trainable',
      say`The model has no routers whose weights are float32, float16 or bfloat16.`,
      {
        file: student.summary.path,
        field: 'train',
        remedy: say`Choose a model with MoE layers, or train all layers (--train all).`,
      },
    );
  }
  return new Map(
    routerLayers(student).map(({ id, weight }) => [id, { kind: 'dense', weight }] as const),
  );
}

/** Encodings of one sublayer. */
export function sublayerEncodings(
  model: LayeredModel,
  index: number,
  forms: ReadonlyMap<string, MatrixEncoding>,
): Map<string, MatrixEncoding> {
  const sublayer = model.sublayer(index);
  return new Map(
    [...sublayer.linearLayers, ...(sublayer.routerLayers ?? [])].flatMap(({ id }) => {
      const form = forms.get(id);
      return form === undefined ? [] : [[id, form] as const];
    }),
  );
}

/** Smallest root mean square of a model's parameters that aren't all zeros, or 1; learning rates are relative to it. */
export async function smallestScale(model: Pick<TrainableModel, 'initial'>): Promise<number> {
  const scales = Object.values(await model.initial())
    .map((tensor) => rootMeanSquare(floatsIn(tensor)))
    .filter((scale) => scale > 0);
  return scales.length === 0 ? 1 : Math.min(...scales);
}
