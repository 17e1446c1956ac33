import { UserError } from '../user-error';
import { ggmlTypes } from './ggml-types';
import { ggufDamaged, GgufReader } from './gguf-reader';
import { readGgufValue } from './gguf-values';
import type { GgufValue } from './gguf-values';
import { elementCount } from './lazy-tensor';
import type { LazyTensor } from './lazy-tensor';
import { withModelFile } from './model-file';
import { say } from '../message';
import type { Message } from '../message';

const magic = 'GGUF';
const versions: readonly number[] = [2, 3];
const defaultAlignment = 32;
/** Largest values in a header. ggml has `GGML_MAX_DIMS`, and names shorter than `GGML_MAX_NAME` in the format's text. */
const limits = {
  ...{ tensors: 100_000, keys: 100_000, keyBytes: 65_535 },
  ...{ nameBytes: 64, dimensions: 4, alignment: 1 << 20 },
} as const;

/** Bytes of a key and its value. */
interface GgufEntry {
  readonly offset: number;
  readonly length: number;
}

/** The header of a GGUF file, validated. */
export interface GgufHeader {
  /** Absolute path, links resolved. */
  readonly file: string;
  /** The files of all parts, this one first. */
  readonly files: readonly string[];
  readonly version: number;
  /** Multiple that the data of every tensor begins at, in bytes. */
  readonly alignment: number;
  /** Position of each key and its value, in the order of the file. */
  readonly entries: ReadonlyMap<string, GgufEntry>;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  /** Shapes as of numpy, the outermost size first; the file has them the other way round. */
  readonly tensors: readonly LazyTensor[];
}

/**
 * Reads and validates the header of a GGUF file (version 2 or 3, little-endian); no tensor data is
 * read, and lists such as the tokens' stay in the file. Format: ggml/docs/gguf.md.
 * @throws UserError naming the file and the key or tensor at fault.
 */
export async function readGgufHeader(path: string): Promise<GgufHeader> {
  return withModelFile(path, async ({ handle, file, size }) => {
    const reader = new GgufReader(handle, size, path);
    const version = await readVersion(reader, size);
    const tensorCount = await readCount(reader, say`tensors`, limits.tensors);
    const keyCount = await readCount(reader, say`keys`, limits.keys);
    const metadata = new Map<string, GgufValue>();
    const entries = new Map<string, GgufEntry>();
    for (let i = 0; i < keyCount; i++) {
      const offset = reader.position;
      const key = await reader.string(say`key`, limits.keyBytes);
      if (metadata.has(key)) {
        throw reader.fault('gguf-key-duplicate', say`The key occurs twice.`, key);
      }
      metadata.set(key, await readGgufValue(reader, key));
      entries.set(key, { offset, length: reader.position - offset });
    }
    const alignment = readAlignment(metadata, reader);
    const infos: TensorInfo[] = [];
    for (let i = 0; i < tensorCount; i++) {
      infos.push(await readTensorInfo(reader, alignment));
    }
    const dataStart = align(reader.position, alignment);
    const tensors = infos.map(({ relativeOffset, ...info }) => ({
      ...info,
      file,
      offset: dataStart + relativeOffset,
    }));
    checkNames(tensors, reader);
    checkLayout(tensors, reader, dataStart, alignment, size);
    return { file, files: [file], version, alignment, entries, metadata, tensors };
  });
}

async function readVersion(reader: GgufReader, size: number): Promise<number> {
  const { path } = reader;
  if (size < 8 || (await reader.take(4)).toString('latin1') !== magic) {
    throw new UserError('gguf-magic-missing', say`The file does not begin with "GGUF".`, {
      file: path,
      remedy: say`This is not a GGUF file, or its download is incomplete.`,
    });
  }
  const version = await reader.uint32();
  if (versions.includes(version)) {
    return version;
  }
  const bigEndian = version !== 0 && (version & 0xffff) === 0;
  throw new UserError(
    bigEndian ? 'gguf-big-endian' : 'gguf-version-unsupported',
    bigEndian
      ? say`The file is big-endian, which is not supported.`
      : say`GGUF version ${version} is not supported, only ${versions.join(' and ')}.`,
    { file: path, remedy: say`Convert the model again with a recent llama.cpp.` },
  );
}

async function readCount(reader: GgufReader, what: Message, most: number): Promise<number> {
  const count = await reader.size64(say`number of ${what}`);
  if (count > most) {
    throw reader.fault(
      'gguf-count-too-large',
      say`${count} ${what} are declared, more than the ${most} expected.`,
    );
  }
  return count;
}

function readAlignment(metadata: ReadonlyMap<string, GgufValue>, reader: GgufReader): number {
  const key = 'general.alignment';
  const value = metadata.get(key) ?? defaultAlignment;
  if (typeof value !== 'number' || value < 1 || value > limits.alignment || !isPowerOfTwo(value)) {
    throw reader.fault('gguf-alignment-invalid', say`The alignment is not a power of two.`, key);
  }
  return value;
}

type TensorInfo = Omit<LazyTensor, 'file' | 'offset'> & { readonly relativeOffset: number };

async function readTensorInfo(reader: GgufReader, alignment: number): Promise<TensorInfo> {
  const name = await reader.string(say`tensor name`, limits.nameBytes);
  const dimensions = await reader.uint32();
  if (dimensions < 1 || dimensions > limits.dimensions) {
    throw reader.fault(
      'tensor-dimensions-invalid',
      say`It has ${dimensions} dimensions, not 1 to ${limits.dimensions}.`,
      name,
    );
  }
  const sizes: number[] = [];
  for (let i = 0; i < dimensions; i++) {
    sizes.push(await reader.size64(say`size`));
  }
  const number = await reader.uint32();
  const type = ggmlTypes.get(number);
  if (type === undefined) {
    throw reader.fault(
      'tensor-type-unsupported',
      say`The tensor type ${number} is not supported.`,
      name,
    );
  }
  const relativeOffset = await reader.size64(say`position`);
  if (relativeOffset % alignment !== 0) {
    throw reader.fault(
      'tensor-misaligned',
      say`Its data begins at ${relativeOffset}, which is not a multiple of ${alignment}.`,
      name,
    );
  }
  const [rowSize = 0] = sizes;
  if (rowSize % type.elements !== 0) {
    throw reader.fault(
      'tensor-rows-not-divisible',
      say`Its rows of ${rowSize} can't be divided into ${type.dtype} blocks of ${type.elements}.`,
      name,
    );
  }
  const shape = sizes.reverse();
  // Divided last: the product is then the number of elements, which must be exact as well.
  const bytes = (elementCount(shape) * type.bytes) / type.elements;
  if (!Number.isSafeInteger(elementCount(shape) * type.bytes)) {
    throw reader.fault(
      'tensor-shape-too-large',
      say`The shape [${shape.join(', ')}] has more elements than any file can contain.`,
      name,
    );
  }
  return { name, dtype: type.dtype, shape, length: bytes, relativeOffset };
}

function checkNames(tensors: readonly LazyTensor[], reader: GgufReader): void {
  const names = new Set<string>();
  for (const { name } of tensors) {
    if (names.has(name)) {
      throw reader.fault('gguf-tensor-duplicate', say`The tensor occurs twice.`, name);
    }
    names.add(name);
  }
}

/** As ggml asks: one tensor after the other, each padded to the alignment, up to the file's end. */
function checkLayout(
  tensors: readonly LazyTensor[],
  reader: GgufReader,
  dataStart: number,
  alignment: number,
  size: number,
): void {
  const byOffset = [...tensors].sort((a, b) => a.offset - b.offset || a.length - b.length);
  let end = dataStart;
  for (const tensor of byOffset) {
    const expected = align(end, alignment);
    if (tensor.offset !== expected) {
      throw reader.fault(
        tensor.offset < expected ? 'tensor-overlap' : 'tensor-gap',
        tensor.offset < expected
          ? say`Its data overlaps the tensor before it (byte ${tensor.offset}, expected ${expected}).`
          : say`Its data starts at byte ${tensor.offset}, expected ${expected}.`,
        tensor.name,
      );
    }
    end = tensor.offset + tensor.length;
  }
  if (end > size && tensors.length > 0) {
    throw new UserError(
      'file-truncated',
      say`The file is truncated: its header declares ${end} bytes, but it has ${size}.`,
      { file: reader.path, remedy: ggufDamaged },
    );
  }
  if (size > align(end, alignment)) {
    throw reader.fault(
      'trailing-bytes',
      say`The file has ${size - end} bytes that belong to no tensor.`,
    );
  }
}

export function align(position: number, alignment: number): number {
  return Math.ceil(position / alignment) * alignment;
}

function isPowerOfTwo(value: number): boolean {
  return Number.isInteger(Math.log2(value));
}
