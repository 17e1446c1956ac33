// Bundled core of run.mjs.
import { open } from 'node:fs/promises';
import { readGgufHeader } from '../../extension/core/checkpoints/gguf';
import type { GgufHeader } from '../../extension/core/checkpoints/gguf';

interface Compared {
  /** Keys of the header with other bytes. */
  readonly otherKeys: readonly string[];
  /** Tensors, those with fewer experts among them, and the bytes that were compared. */
  readonly tensors: number;
  readonly stacks: number;
  readonly bytes: number;
  /** Tensors with other bytes than the original, or the experts that stay there. */
  readonly otherTensors: readonly string[];
}

interface Range {
  readonly offset: number;
  readonly length: number;
}

/** Compares a written file with its original, byte for byte; `removed` are ids such as `block.0.expert.5`. */
export async function compareFiles(
  original: string,
  written: string,
  removed: readonly string[],
): Promise<Compared> {
  const [before, after] = [await readGgufHeader(original), await readGgufHeader(written)];
  const [from, to] = [await open(original), await open(written)];
  const removedIds = new Set(removed);
  const isSame = async (one: Range, other: Range): Promise<boolean> => {
    const buffers = [Buffer.alloc(one.length), Buffer.alloc(other.length)] as const;
    await from.read(buffers[0], 0, one.length, one.offset);
    await to.read(buffers[1], 0, other.length, other.offset);
    return buffers[0].equals(buffers[1]);
  };
  try {
    const otherKeys: string[] = [];
    for (const [key, entry] of after.entries) {
      const own = before.entries.get(key);
      if (own === undefined || !(await isSame(own, entry))) {
        otherKeys.push(key);
      }
    }
    const otherTensors: string[] = [];
    const sources = new Map(before.tensors.map((tensor) => [tensor.name, tensor]));
    let stacks = 0;
    for (const tensor of after.tensors) {
      const source = sources.get(tensor.name);
      const pairs = source === undefined ? undefined : expertRanges(source, tensor, removedIds);
      stacks += (pairs?.length ?? 0) > 1 ? 1 : 0;
      const same = await Promise.all((pairs ?? []).map(async ([a, b]) => isSame(a, b)));
      if (pairs === undefined || same.includes(false)) {
        otherTensors.push(tensor.name);
      }
    }
    return {
      ...{ otherKeys, otherTensors, stacks },
      tensors: after.tensors.length,
      bytes: after.tensors.reduce((sum, { length }) => sum + length, 0),
    };
  } finally {
    await from.close();
    await to.close();
  }
}

type Tensor = GgufHeader['tensors'][number];

/** Ranges of the original and of the written tensor that have the same bytes; undefined if the sizes don't match. */
function expertRanges(
  source: Tensor,
  written: Tensor,
  removedIds: ReadonlySet<string>,
): (readonly [Range, Range])[] | undefined {
  const [count = 1, ...rest] = source.shape;
  const [left = 1, ...restWritten] = written.shape;
  if (String(rest) !== String(restWritten) || source.dtype !== written.dtype) {
    return undefined;
  }
  if (count === left) {
    return [[source, written]];
  }
  const [, block] = /^blk\.(\d+)\./.exec(source.name) ?? [];
  const size = source.length / count;
  const remaining = Array.from({ length: count }, (_, expert) => expert).filter(
    (expert) => !removedIds.has(`block.${block}.expert.${expert}`),
  );
  return remaining.length === left
    ? remaining.map((expert, i) => [
        { offset: source.offset + expert * size, length: size },
        { offset: written.offset + i * size, length: size },
      ])
    : undefined;
}
