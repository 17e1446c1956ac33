import { describeEncoding } from '../models/encodings/encoding-spec';
import type { EncodingSpec } from '../models/encodings/encoding-spec';
import type { Refusal } from '../models/capability';
import type { LayeredModel } from '../models/layered-model';
import type { LinearLayer, MatrixEncoding, EmbeddingOrHead } from '../models/matrix-encoding';
import { isStorable } from '../models/encodings/stored-encodings';
import type { Changes, MatrixChanges } from './changes';
import { say } from '../message';

/**
 * Encodings of matrices by id and by module path. A tied embedding and head with the same encoding
 * are stored once; if only one of them is compressed, both are stored.
 */
export function matrixChanges(
  model: LayeredModel,
  matrices: ReadonlyMap<string, MatrixEncoding>,
): MatrixChanges {
  const compressed: Record<string, Record<string, EncodingSpec>> = {};
  const tell = (key: string, place: string, form: MatrixEncoding): void => {
    const name = place.replace(/\.weight$/, '');
    compressed[key] = { ...compressed[key], [name]: describeEncoding(form) };
  };
  const { prefix = '', places } = model.blockNames ?? {};
  for (const [index, { id: sublayer, block }] of model.summary.sublayers.entries()) {
    for (const { id, form: before, transposed } of model.sublayer(index).linearLayers) {
      const form = matrices.get(id);
      // A dense matrix is listed only if an ordinary model would store it differently.
      const isListed = form?.kind !== 'dense' || before !== undefined || transposed;
      if (form !== undefined && isListed) {
        const place = places?.[block] ?? `${prefix}${block}.`;
        tell(sublayer, id.slice(place.length), form);
      }
    }
  }
  const embeddingAndHead = model.embeddingAndHeadMatrices;
  for (const { id, place, form: before, tiedTo } of embeddingAndHead) {
    const form = matrices.get(id);
    const isEmbedding = place === 'head' && sharesForm(tiedTo, form, matrices);
    if (form !== undefined && !isEmbedding && (form.kind !== 'dense' || before !== undefined)) {
      tell(place, id, form);
    }
  }
  const untied = embeddingAndHead.filter(
    ({ id, tiedTo }) => tiedTo !== undefined && !sharesForm(tiedTo, matrices.get(id), matrices),
  );
  return { matrices, compressed, unties: untied.length > 0 };
}

/** True if the tied matrix gets the same encoding. */
function sharesForm(
  tiedTo: string | undefined,
  form: MatrixEncoding | undefined,
  matrices: ReadonlyMap<string, MatrixEncoding>,
): boolean {
  return tiedTo !== undefined && matrices.get(tiedTo) === form;
}

/** All compressible matrices of a model. */
export function listMatrices(model: LayeredModel): (LinearLayer | EmbeddingOrHead)[] {
  const layers = model.summary.sublayers.flatMap((_, index) => model.sublayer(index).linearLayers);
  return [...layers, ...model.embeddingAndHeadMatrices];
}

/**
 * Placeholder encodings to check whether a result can be written before any is computed; the check depends only on
 * their kind. A tied embedding and head stay tied unless `isOneChoice` returns false.
 */
export function placeholderEncodings(
  matrices: readonly (LinearLayer | EmbeddingOrHead)[],
  isOneChoice: (head: string) => boolean = () => true,
): Map<string, MatrixEncoding> {
  const stands = new Map<string, MatrixEncoding>();
  for (const matrix of matrices) {
    const { id, weight } = matrix;
    const other = 'place' in matrix ? stands.get(matrix.tiedTo ?? '') : undefined;
    const isShared = other !== undefined && isOneChoice(id);
    stands.set(id, isShared ? other : { kind: 'int8', quants: weight, scales: weight });
  }
  return stands;
}

/** Reason why a changed matrix can't be stored in place of the original. */
export function explainNotStored(
  model: LayeredModel,
  { matrices, unties }: Changes,
): Refusal | undefined {
  const changed = listMatrices(model).filter(({ id }) => matrices.has(id));
  if (unties && model.emitter === undefined) {
    return {
      code: 'tied-embedding',
      reason: say`The embedding and head of this model are tied, and transformers stores both as one matrix.`,
      remedy: say`Compress both in the same way, leave both out, or write ONNX.`,
    };
  }
  const packed = changed.find(({ weight }) => weight.packed !== undefined);
  if (packed !== undefined) {
    return {
      code: 'keeps-own-packing',
      reason: say`${packed.id} is quantized already.`,
      remedy: say`Compress the original weights, leave the layer out, or write ONNX.`,
    };
  }
  const part = changed.find(({ id }) => !isStorable(id));
  return part === undefined
    ? undefined
    : {
        code: 'matrices-not-expressible',
        reason: say`${part.id} is part of a larger tensor and can't be stored alone.`,
        remedy: say`Write ONNX, or leave the experts out.`,
      };
}
