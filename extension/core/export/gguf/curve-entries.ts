import type { Checkpoint } from '../../checkpoints/lazy-tensor';
import type { Cancellation } from '../../jobs/job';
import { curveKey, curveWeights } from '../../models/gguf/gguf-curves';
import { readNumber } from './gguf-tensors';
import { headerEntry } from './header-entries';

/**
 * Entries of a header, by key, with the weights of xIELU of the blocks that stay.
 * @param placeOf what stands in front of such a weight's name in the source, of the block that stays
 */
export async function curveEntries(
  { tensors }: Pick<Checkpoint, 'tensors'>,
  blocks: readonly number[],
  placeOf: (source: number) => string,
  cancellation: Cancellation,
): Promise<ReadonlyMap<string, Buffer>> {
  const entries = new Map<string, Buffer>();
  for (const weight of Object.keys(curveWeights)) {
    const numbers: number[] = [];
    for (const source of blocks) {
      const name = `${placeOf(source)}.${weight}`;
      const tensor = tensors.get(name);
      if (tensor === undefined) {
        throw new Error(`${name} was found when the model was opened`);
      }
      numbers.push(await readNumber(tensor, cancellation));
    }
    const key = curveKey(weight);
    entries.set(key, headerEntry.floats(key, numbers));
  }
  return entries;
}
