import { elementCount, packedDType } from '../../checkpoints/lazy-tensor';
import type { Checkpoint, LazyTensor } from '../../checkpoints/lazy-tensor';
import type { QuantizationSummary } from '../model-summary';
import { packedForms } from './packed-forms';
import { requireFit } from './packed-parts';

/**
 * The checkpoint with one tensor `<layer>.weight` in place of those that a quantization method
 * keeps for a layer, its shape the logical one.
 * @throws UserError naming a tensor that is missing or does not fit.
 */
export async function joinPacked(
  checkpoint: Checkpoint,
  quantization: QuantizationSummary,
): Promise<Checkpoint> {
  const form = packedForms[quantization.method];
  if (form === undefined) {
    throw new Error(`no form for ${quantization.method}, which readQuantization refuses`);
  }
  const layers = new Map<string, Map<string, LazyTensor>>();
  const tensors = new Map<string, LazyTensor>();
  for (const [name, tensor] of checkpoint.tensors) {
    const [, layer, part] = form.name.exec(name) ?? [];
    if (layer === undefined || part === undefined) {
      tensors.set(name, tensor);
    } else {
      layers.set(layer, (layers.get(layer) ?? new Map<string, LazyTensor>()).set(part, tensor));
    }
  }
  for (const [layer, parts] of layers) {
    const matrix = await form.join(parts, quantization);
    if (matrix === undefined) {
      for (const tensor of parts.values()) {
        tensors.set(tensor.name, tensor);
      }
      continue;
    }
    const { numbers, shape, packed, turned = false, sizes } = matrix;
    if (packed !== undefined && quantization.refusal === undefined) {
      requireFit(packed, elementCount(shape) / elementCount(packed.shape));
    }
    const name = `${layer}${form.suffix ?? '.weight'}`;
    const { file, offset } = numbers;
    const length = [...parts.values()].reduce((sum, part) => sum + part.length, 0);
    const place = { name, shape, file, offset, length };
    tensors.set(
      name,
      packed === undefined
        ? { ...place, dtype: numbers.dtype }
        : {
            ...place,
            dtype: packedDType,
            packed: { matrix: packed, turned, ...(sizes && { sizes }) },
          },
    );
  }
  return { ...checkpoint, tensors };
}
