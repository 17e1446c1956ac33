import type { FileHandle } from 'node:fs/promises';
import { ggmlTypeNumber } from '../../checkpoints/ggml-types';
import { align } from '../../checkpoints/gguf';
import type { GgufHeader } from '../../checkpoints/gguf';
import { arrayType, ggufElementBytes } from '../../checkpoints/gguf-values';
import type { GgufArray } from '../../checkpoints/gguf-values';
import { elementCount } from '../../checkpoints/lazy-tensor';
import { readBytes } from '../../checkpoints/read-tensor';
import { UserError } from '../../user-error';
import type { ByteCopier, ByteRange } from '../byte-copier';
import { onPath } from '../../jobs/write-document';
import { writeAll, writeFlushed } from '../byte-copier';
import { convert, readIntegers } from './gguf-tensors';
import type { GgufTensor } from './gguf-tensors';
import { openRowWriter } from '../../checkpoints/quantize/row-threads';
import type { RowWriter } from '../../checkpoints/quantize/row-threads';
import { orderBlocks } from './block-factors';
import { headerEntry, string, uint32, uint64 } from './header-entries';
import { say } from '../../message';

/** A GGUF file to be written. */
export interface GgufPlan {
  /** Parts of the header in order: bytes, or ranges to copy. */
  readonly header: readonly (Buffer | ByteRange)[];
  readonly tensors: readonly GgufTensor[];
  readonly alignment: number;
  /** Size of the file. */
  readonly bytes: number;
}

/** Longest list with an entry for each block, in bytes. */
const maxListBytes = 1 << 20;
const architectureKey = 'general.architecture';
/** Types of integers (`enum gguf_metadata_value_type`). */
const wholeTypes: readonly number[] = [0, 1, 2, 3, 4, 5, 10, 11];

/** Header fields that describe the blocks. */
export interface GgufLayout {
  /** Source block of each block. */
  readonly blocks: readonly number[];
  /** `general.architecture` and the prefix of its keys, if they change. */
  readonly architecture?: string;
  /** Keys of the family, without its name, that get a list of integers, one for each block. */
  readonly lists?: ReadonlyMap<string, readonly number[]>;
  /** Entries that replace those with the same key, or are added. */
  readonly replaced?: ReadonlyMap<string, Buffer>;
}

/**
 * Lays out a file with the metadata of `header`, except for entries that depend on its blocks:
 * their number, lists with an entry per block, and the changes of `layout`. Tensors keep the given
 * order, as llama.cpp requires. Format: ggml/docs/gguf.md.
 * @throws UserError naming a key that can't be rewritten.
 */
export async function planGguf(
  header: GgufHeader,
  layout: GgufLayout,
  tensors: readonly GgufTensor[],
): Promise<GgufPlan> {
  const { file, alignment, version } = header;
  const architecture = header.metadata.get(architectureKey);
  const family = `${typeof architecture === 'string' ? architecture : ''}.`;
  const newFamily = layout.architecture === undefined ? family : `${layout.architecture}.`;
  const entries: (Buffer | ByteRange)[] = [];
  const { replaced = new Map<string, Buffer>() } = layout;
  for (const [key, entry] of header.entries) {
    if (key.startsWith('split.')) {
      continue; // What is written is one file.
    }
    const changed =
      replaced.get(key) ?? (await rewriteEntry(header, layout, family, newFamily, key));
    entries.push(changed ?? { file, ...entry });
  }
  entries.push(...[...replaced].flatMap(([key, entry]) => (header.entries.has(key) ? [] : entry)));
  for (const [name, numbers] of layout.lists ?? []) {
    if (!header.entries.has(`${family}${name}`)) {
      entries.push(headerEntry.integers(`${newFamily}${name}`, numbers));
    }
  }
  return layOutGguf(entries, tensors, { version, alignment });
}

/** Lays out a file with the entries and tensors given, in their order. */
export function layOutGguf(
  entries: readonly (Buffer | ByteRange)[],
  tensors: readonly GgufTensor[],
  { version, alignment }: Pick<GgufHeader, 'version' | 'alignment'>,
): GgufPlan {
  const pieces: (Buffer | ByteRange)[] = [
    Buffer.concat([
      Buffer.from('GGUF'),
      uint32(version),
      uint64(tensors.length),
      uint64(entries.length),
    ]),
    ...entries,
  ];
  let end = 0;
  for (const { name, shape, type, length } of tensors) {
    pieces.push(
      Buffer.concat([
        string(name),
        uint32(shape.length),
        ...[...shape].reverse().map(uint64),
        uint32(ggmlTypeNumber(type)),
        uint64(end),
      ]),
    );
    end = align(end + length, alignment);
  }
  return { header: pieces, tensors, alignment, bytes: align(headerSize(pieces), alignment) + end };
}

/** Number of bytes of each tensor. */
export function bytesByName({ tensors }: GgufPlan): ReadonlyMap<string, number> {
  return new Map(tensors.map(({ name, length }) => [name, length]));
}

/** Writes the file, with zeros between tensors. */
export async function writeGguf(path: string, plan: GgufPlan, copier: ByteCopier): Promise<void> {
  const rowWriter = openRowWriter(
    plan.tensors.reduce(
      (sum, { shape, source }) => sum + (source.kind === 'numbers' ? elementCount(shape) : 0),
      0,
    ),
  );
  try {
    await writeFlushed(path, async (handle) => writeParts(handle, path, plan, copier, rowWriter));
  } finally {
    await rowWriter.end();
  }
}

async function writeParts(
  handle: FileHandle,
  path: string,
  plan: GgufPlan,
  copier: ByteCopier,
  rowWriter: RowWriter,
): Promise<void> {
  let position = 0;
  for (const piece of plan.header) {
    if ('file' in piece) {
      await copier.copy([piece], handle, path, position);
    } else {
      await writeAll(handle, path, piece, position);
    }
    position += piece.length;
  }
  for (const { name, source, length } of plan.tensors) {
    position = align(position, plan.alignment);
    switch (source.kind) {
      case 'copy':
        await copier.copy(source.ranges, handle, path, position);
        break;
      case 'given':
        await copier.write(source.bytes, handle, path, position);
        break;
      case 'integers':
        await copier.write(await readIntegers(source.tensor), handle, path, position);
        break;
      case 'numbers':
      case 'blocks': {
        let at = position;
        const pieces =
          source.kind === 'blocks'
            ? orderBlocks(source.rows, copier.cancellation)
            : convert(name, source, copier.cancellation, rowWriter);
        for await (const bytes of pieces) {
          await copier.write(bytes, handle, path, at);
          at += bytes.length;
        }
      }
    }
    position += length;
  }
  await onPath(path, async () => handle.truncate(plan.bytes));
}

/** New bytes of a key and its value, or undefined if they don't change. */
async function rewriteEntry(
  header: GgufHeader,
  { blocks, architecture, lists }: GgufLayout,
  family: string,
  newFamily: string,
  key: string,
): Promise<Buffer | undefined> {
  const entry = header.entries.get(key);
  if (key === architectureKey && architecture !== undefined) {
    return headerEntry.text(key, architecture);
  }
  if (entry === undefined || !key.startsWith(family)) {
    return undefined;
  }
  const name = key.slice(family.length);
  const newKey = `${newFamily}${name}`;
  const numbers = lists?.get(name);
  if (numbers !== undefined) {
    return headerEntry.integers(newKey, numbers);
  }
  const range = { name: key, file: header.file, ...entry };
  const countKey = `${family}block_count`;
  const value = header.metadata.get(key);
  if (key === countKey) {
    const old = await readBytes(range, maxListBytes);
    return renamed(withNumber(old, header.file, key, blocks.length), key, newKey);
  }
  const isList = typeof value === 'object' && value.length === header.metadata.get(countKey);
  return isList
    ? renamed(await withElements(header.file, key, value, blocks), key, newKey)
    : key === newKey
      ? undefined
      : renamed(await readBytes(range, maxListBytes), key, newKey);
}

function renamed(entry: Buffer, key: string, newKey: string): Buffer {
  return key === newKey
    ? entry
    : Buffer.concat([string(newKey), entry.subarray(string(key).length)]);
}

/** A key's bytes with another integer, stored as the old one. */
function withNumber(entry: Buffer, file: string, key: string, value: number): Buffer {
  const typeAt = string(key).length;
  const size = entry.length - typeAt - 4;
  if (!wholeTypes.includes(entry.readUInt32LE(typeAt))) {
    throw new UserError('gguf-value-not-integer', say`Its value is not an integer.`, {
      file,
      field: key,
      remedy: say`Convert the model again with a recent llama.cpp.`,
    });
  }
  const changed = Buffer.from(entry);
  changed.fill(0, typeAt + 4);
  changed.writeUIntLE(value, typeAt + 4, Math.min(size, 6));
  return changed;
}

/** A key with those elements of a list whose blocks stay. */
async function withElements(
  file: string,
  key: string,
  list: GgufArray,
  blocks: readonly number[],
): Promise<Buffer> {
  const size = ggufElementBytes(list.elementType);
  if (size === undefined) {
    throw new UserError(
      'gguf-entries-not-rewritable',
      say`It has one entry per block, in a type that can't be rewritten.`,
      { file, field: key, remedy: say`Convert the model again with a recent llama.cpp.` },
    );
  }
  const range = { name: key, file, offset: list.offset, length: list.length * size };
  const elements = await readBytes(range, maxListBytes);
  return Buffer.concat([
    string(key),
    uint32(arrayType),
    uint32(list.elementType),
    uint64(blocks.length),
    ...blocks.map((block) => elements.subarray(block * size, (block + 1) * size)),
  ]);
}

function headerSize(pieces: GgufPlan['header']): number {
  return pieces.reduce((sum, { length }) => sum + length, 0);
}
