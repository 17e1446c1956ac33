import { createHash } from 'node:crypto';
import type { Dataset } from '../../data/datasets/dataset';
import { checkpoint } from '../../jobs/job';
import type { Cancellation } from '../../jobs/job';

/** Examples that are hashed between two looks at the cancellation. */
const atOnce = 1024;

/** For each example the first with the same content, whatever their labels: itself where no earlier one has. */
export async function firstCopies(dataset: Dataset, cancellation: Cancellation): Promise<number[]> {
  const first = new Map<string, number>();
  const copies: number[] = [];
  for (let index = 0; index < dataset.size; index++) {
    if (index % atOnce === 0) {
      await checkpoint(cancellation);
    }
    const content = dataset.text?.(index) ?? new Uint8Array(dataset.features([index]).buffer);
    const key = createHash('sha1').update(content).digest('base64');
    const found = first.get(key) ?? index;
    first.set(key, found);
    copies.push(found);
  }
  return copies;
}
