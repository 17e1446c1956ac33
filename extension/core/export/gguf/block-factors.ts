import { elementCount } from '../../checkpoints/lazy-tensor';
import type { LazyTensor, PackedMatrix } from '../../checkpoints/lazy-tensor';
import type { Cancellation } from '../../jobs/job';
import type { LayeredModel } from '../../models/layered-model';
import type { Changes } from '../changes';
import { readNumber } from './gguf-tensors';
import { readBytes } from '../../checkpoints/read-tensor';
import { checkpoint } from '../../jobs/job';
import type { Rows, RowsOfTensor } from '../../models/gguf/gguf-rows';
import type { GgufTensor } from './gguf-tensors';
import { bytesAs } from './type-mixes';

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

/**
 * GGUF type of the quantization blocks in folders of gpt-oss and DeepSeek-V4, which store the bytes in another order
 * (conversion/gpt_oss.py).
 */
export const storedBlocks = 'MXFP4';

/** Values and bytes per quantization block: one exponent byte, then two values per byte. */
const blockNumbers = 32;
const codeBytes = 16;
const blockBytes = 1 + codeBytes;

/** True if all rows already consist of such blocks, regardless of the quantization method. */
export const areStoredBlocks = ({ rows, changed }: RowsOfTensor): boolean =>
  changed === undefined &&
  rows.every(
    ({ tensor: { packed }, transposed = false, columns }) =>
      packed !== undefined &&
      packed.rows === undefined &&
      packed.isTransposed === transposed &&
      columns === undefined &&
      isBlockPacked(packed.matrix),
  );

function isBlockPacked({ shape, codes, times, ...others }: PackedMatrix): boolean {
  const { matrix: scales, block, groups } = times ?? {};
  return (
    codes?.values === 'E2M1' &&
    codes.order === 'columns' &&
    scales?.codes?.values === 'E8M0' &&
    scales.shape[1] * blockNumbers === shape[1] &&
    [block, groups, ...modified(others), ...modified(scales), scales.times].every(
      (part) => part === undefined,
    )
  );
}

const modified = ({ stored, minus, over, plus }: Partial<PackedMatrix>): readonly unknown[] => [
  stored,
  minus,
  over,
  plus,
];

export function asStoredBlocks(name: string, { shape, rows }: RowsOfTensor): GgufTensor {
  return {
    ...{ name, shape, type: storedBlocks, length: bytesAs(storedBlocks, shape) },
    source: { kind: 'blocks', rows },
  };
}

/**
 * Gives the blocks of rows, one expert at a time.
 * @throws CancelledError
 */
export async function* orderBlocks(
  rows: readonly Rows[],
  cancellation: Cancellation,
): AsyncGenerator<Uint8Array> {
  for (const { tensor, count, order = (row: number) => row } of rows) {
    await checkpoint(cancellation);
    const [codes, exponents] = await readCodesAndScales(tensor);
    const blocks = exponents.length / (tensor.packed?.matrix.shape[0] ?? 1);
    const out = new Uint8Array(count * blocks * blockBytes);
    for (let row = 0; row < count; row++) {
      for (let block = 0; block < blocks; block++) {
        const source = order(row) * blocks + block;
        const at = (row * blocks + block) * blockBytes;
        out[at] = exponents[source] ?? 0;
        orderCodes(codes.subarray(source * codeBytes, (source + 1) * codeBytes), out, at + 1);
      }
    }
    yield out;
  }
}

/** Pairs lie side by side in a folder, and half a block apart in the file; the first of both in the low bits. */
function orderCodes(pairs: Uint8Array, out: Uint8Array, at: number): void {
  const code = (number: number): number => ((pairs[number >> 1] ?? 0) >> (4 * (number & 1))) & 15;
  for (let i = 0; i < codeBytes; i++) {
    out[at + i] = code(i) | (code(i + codeBytes) << 4);
  }
}

async function readCodesAndScales({
  packed,
}: LazyTensor): Promise<readonly [Uint8Array, Uint8Array]> {
  const codes = packed?.matrix.tensor;
  const exponents = packed?.matrix.times?.matrix.tensor;
  if (codes === undefined || exponents === undefined) {
    throw new Error('blocks have codes and exponents');
  }
  return [await readBytes(codes, codes.length), await readBytes(exponents, exponents.length)];
}
