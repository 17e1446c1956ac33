import type { Checkpoint } from '../../checkpoints/lazy-tensor';
import type { Cancellation } from '../../jobs/job';
import { curveKey, curveWeights } from '../../models/gguf/gguf-curves';
import { readNumber } from './gguf-tensors';
import { headerEntry } from './header-entries';

/**
 * Header entries, by key, with the xIELU weights of the remaining blocks.
 * @param blockPrefix prefix of such a weight's name in the source, by remaining block
 */
export async function curveEntries(
  { tensors }: Pick<Checkpoint, 'tensors'>,
  blocks: readonly number[],
  blockPrefix: (source: number) => string,
  cancellation: Cancellation,
): Promise<ReadonlyMap<string, Buffer>> {
  const entries = new Map<string, Buffer>();
  for (const weight of Object.keys(curveWeights)) {
    const numbers: number[] = [];
    for (const source of blocks) {
      const name = `${blockPrefix(source)}.${weight}`;
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
