import { describeForm } from '../models/forms/form-spec';
import type { FormSpec } from '../models/forms/form-spec';
import type { LayeredModel } from '../models/layered-model';
import type { LinearLayer, MatrixForm } from '../models/matrix-form';
import { isStorable } from '../models/forms/stored-forms';
import type { Changes, MatrixChanges, Refusal } from './changes';

/** Forms of linear layers by id, and by where they stand in the model's blocks. */
export function matrixChanges(
  model: LayeredModel,
  matrices: ReadonlyMap<string, MatrixForm>,
): MatrixChanges {
  const compressed: Record<string, Record<string, FormSpec>> = {};
  for (const [index, { id: sublayer, block }] of model.summary.sublayers.entries()) {
    for (const { id, form: before, transposed } of model.linearLayers?.(index) ?? []) {
      const form = matrices.get(id);
      // A dense matrix is told of where an ordinary model would not have it so.
      const isTold = form?.kind !== 'dense' || before !== undefined || transposed;
      if (form !== undefined && isTold) {
        const place = id
          .slice(`${model.blocksPrefix ?? ''}${block}.`.length)
          .replace(/\.weight$/, '');
        compressed[sublayer] = { ...compressed[sublayer], [place]: describeForm(form) };
      }
    }
  }
  return { matrices, compressed };
}

/** A form that can be asked about before any is computed: what can be written depends on no other thing. */
export function standIn({ weight }: LinearLayer): MatrixForm {
  return { kind: 'int8', quants: weight, scales: weight };
}

/** Why a matrix that changes cannot be stored in the place where it was. */
export function whyNotStored(model: LayeredModel, { matrices }: Changes): Refusal | undefined {
  const layers = model.summary.sublayers.flatMap((_, index) => model.linearLayers?.(index) ?? []);
  const changed = layers.filter(({ id }) => matrices.has(id));
  const packed = changed.find(({ weight }) => weight.packed !== undefined);
  if (packed !== undefined) {
    return {
      problem: `${packed.id} is quantized already.`,
      remedy: 'Compress the original weights, leave the layer out, or write ONNX.',
    };
  }
  const part = changed.find(({ id }) => !isStorable(id));
  return part === undefined
    ? undefined
    : {
        problem: `${part.id} is a part of a larger tensor, of which no part can be stored by itself.`,
        remedy: 'Write ONNX, or leave the experts out.',
      };
}
