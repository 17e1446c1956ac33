import { elementCount } from '../../checkpoints/lazy-tensor';
import type { LazyTensor } from '../../checkpoints/lazy-tensor';
import type { Cancellation } from '../../jobs/job';
import type { LayeredModel } from '../../models/layered-model';
import type { Changes } from '../changes';
import { readNumber } from './gguf-tensors';

/** Changes without the blocks whose sublayers are all removed, and the factors that those blocks applied. */
interface WithoutEmptied {
  readonly changes: Changes;
  /** Factors of the fused blocks, by the name of the factor that replaces them. */
  readonly factors: ReadonlyMap<string, readonly LazyTensor[]>;
}

/**
 * Drops blocks that only scale the stream (Gemma 4), by merging their factor into the previous block's factor. If that
 * isn't possible, returns the changes as they are.
 */
export function withoutEmptied(model: LayeredModel, changes: Changes): WithoutEmptied {
  const left = new Set(changes.remaining.map(({ block }) => block));
  const blocks = changes.blocks.filter((block) => left.has(block));
  const emptied = changes.blocks.filter((block) => !left.has(block));
  const factors = new Map<string, LazyTensor[]>();
  for (const block of emptied) {
    const before = blocks.findLast((one) => one < block);
    const own = blockFactor(model, block);
    const first = before === undefined ? undefined : blockFactor(model, before);
    if (own === undefined || first === undefined || lendsKeys(model)) {
      return { changes, factors: new Map() };
    }
    factors.set(first.name, [...(factors.get(first.name) ?? []), own]);
  }
  return { changes: emptied.length === 0 ? changes : withBlocks(changes, blocks), factors };
}

/**
 * Scalar by which a block multiplies the stream in addition to its sublayers; undefined if there is none, or if the
 * block does more.
 */
function blockFactor(model: LayeredModel, block: number): LazyTensor | undefined {
  const staying = model.summary.sublayers.flatMap((sublayer, index) =>
    sublayer.block === block ? model.sublayer(index).stayingTensors : [],
  );
  const [factor, ...others] = staying;
  return factor !== undefined && others.length === 0 && elementCount(factor.shape) === 1
    ? factor
    : undefined;
}

/** True if the attention of some blocks reads keys and values of other blocks. */
const lendsKeys = ({ summary }: LayeredModel): boolean =>
  summary.sublayers.some(
    ({ kind, kvBytesPerToken }) => kind === 'attention' && kvBytesPerToken === 0,
  );

/** The changes without some of the result's blocks. */
function withBlocks(changes: Changes, blocks: readonly number[]): Changes {
  const newNumber = (before: number): number => blocks.indexOf(changes.blocks[before] ?? -1);
  const renumbered = (id: string): string[] => {
    const number = newNumber(Number(/^block\.(\d+)/.exec(id)?.[1] ?? -1));
    return number < 0 ? [] : [id.replace(/^block\.\d+/, `block.${number}`)];
  };
  return {
    ...changes,
    blocks,
    absent: changes.absent.flatMap(renumbered),
    expertCounts: new Map(
      [...changes.expertCounts].map(([block, count]) => [newNumber(block), count]),
    ),
    widths: Object.fromEntries(
      Object.entries(changes.widths).flatMap(([id, width]) =>
        renumbered(id).map((own) => [own, width]),
      ),
    ),
  };
}

/** Product of the factors that are multiplied with each factor, by its name. */
export async function multiplyFactors(
  factors: WithoutEmptied['factors'],
  cancellation: Cancellation,
): Promise<ReadonlyMap<string, number>> {
  const products = new Map<string, number>();
  for (const [name, tensors] of factors) {
    for (const tensor of tensors) {
      const value = await readNumber(tensor, cancellation);
      products.set(name, (products.get(name) ?? 1) * value);
    }
  }
  return products;
}
