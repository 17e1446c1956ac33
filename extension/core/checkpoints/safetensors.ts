import { stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { visit } from 'jsonc-parser';
import { measureJson, parseJson, parseJsonText } from '../parse-json';
import type { ErrorCode } from '../error-codes';
import { UserError } from '../user-error';
import { dtypeBits, elementCount } from './lazy-tensor';
import type { Checkpoint, LazyTensor, SafetensorsDType } from './lazy-tensor';
import { readModelText, resolveModelFile, withModelFile } from './model-file';
import { say } from '../message';
import type { Message } from '../message';

/** Longest header the format's reference implementation accepts, in bytes. */
const maxHeaderBytes = 100_000_000;
const indexSuffix = '.safetensors.index.json';
const incomplete = say`The file is damaged or incomplete: download or convert it again.`;

/** The header of one safetensors file, validated. */
export interface SafetensorsHeader {
  readonly tensors: readonly LazyTensor[];
  readonly metadata: Readonly<Record<string, string>>;
  /** Bytes before the first tensor. */
  readonly dataStart: number;
}

/**
 * Reads and validates the header of a safetensors file; no tensor data is read.
 * @throws UserError naming the file and the tensor at fault.
 */
export async function readSafetensorsHeader(path: string): Promise<SafetensorsHeader> {
  return withModelFile(path, async ({ handle, file, size }) => {
    const text = await readHeaderText(handle, size, path);
    const dataStart = 8 + text.bytes;
    return { ...parseHeader(text.json, path, file, dataStart, size), dataStart };
  });
}

async function readHeaderText(
  handle: FileHandle,
  size: number,
  path: string,
): Promise<{ json: string; bytes: number }> {
  if (size < 8) {
    throw new UserError(
      'safetensors-too-short',
      say`The file has ${size} bytes, too few for a safetensors header.`,
      { file: path, remedy: incomplete },
    );
  }
  const prefix = Buffer.alloc(8);
  await handle.read(prefix, 0, 8, 0);
  const declared = prefix.readBigUInt64LE();
  if (declared > BigInt(maxHeaderBytes)) {
    throw new UserError(
      'safetensors-header-too-long',
      say`The header is declared as ${declared} bytes, more than the ${maxHeaderBytes} that the format allows.`,
      { file: path, remedy: say`This is not a safetensors file, or its first bytes are damaged.` },
    );
  }
  const bytes = Number(declared);
  if (8 + bytes > size) {
    throw new UserError(
      'header-truncated',
      say`The header needs ${8 + bytes} bytes, but the file ends after ${size}.`,
      { file: path, remedy: incomplete },
    );
  }
  const buffer = Buffer.alloc(bytes);
  await handle.read(buffer, 0, bytes, 8);
  try {
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    return { json: decoder.decode(buffer), bytes };
  } catch {
    throw new UserError('safetensors-header-not-utf8', say`The header is not UTF-8.`, {
      file: path,
      remedy: incomplete,
    });
  }
}

function parseHeader(
  json: string,
  path: string,
  file: string,
  dataStart: number,
  size: number,
): Omit<SafetensorsHeader, 'dataStart'> {
  let parsed: unknown;
  try {
    parsed = parseJsonText(json);
  } catch (error) {
    throw new UserError(
      'safetensors-header-not-json',
      say`The header is not JSON: ${(error as Error).message}.`,
      { file: path, remedy: incomplete },
    );
  }
  if (!isRecord(parsed)) {
    throw new UserError('safetensors-header-not-object', say`The header is not a JSON object.`, {
      file: path,
      remedy: incomplete,
    });
  }
  refuseDuplicateKeys(json, parsed, path);
  const metadata = parseMetadata(parsed['__metadata__'], path);
  const tensors = Object.entries(parsed)
    .filter(([name]) => name !== '__metadata__')
    .map(([name, entry]) => parseEntry(name, entry, path, file, dataStart));
  checkLayout(tensors, path, dataStart, size);
  return { tensors, metadata };
}

/** JSON.parse keeps the last of two equal keys; two tensors with the same name are an error. */
function refuseDuplicateKeys(json: string, parsed: object, path: string): void {
  if (measureJson(json).fields === countFields(parsed)) {
    return;
  }
  const open: Set<string>[] = [];
  let twice: string | undefined;
  visit(json, {
    onObjectBegin: () => {
      open.push(new Set());
    },
    onObjectEnd: () => {
      open.pop();
    },
    onObjectProperty: (name) => {
      const names = open.at(-1);
      twice ??= names?.has(name) === true ? name : undefined;
      names?.add(name);
    },
  });
  throw new UserError('safetensors-name-duplicate', say`The name occurs twice in the header.`, {
    file: path,
    ...(twice === undefined ? {} : { field: twice }),
    remedy: incomplete,
  });
}

/** Number of fields in a JSON value and all values in it. */
function countFields(value: unknown): number {
  if (typeof value !== 'object' || value === null) {
    return 0;
  }
  const values: unknown[] = Object.values(value);
  const own = Array.isArray(value) ? 0 : values.length;
  return values.reduce<number>((count, one) => count + countFields(one), own);
}

function parseMetadata(value: unknown, path: string): Record<string, string> {
  if (value === undefined) {
    return {};
  }
  if (!isRecord(value) || Object.values(value).some((entry) => typeof entry !== 'string')) {
    throw new UserError('safetensors-metadata-invalid', say`It must map names to strings.`, {
      file: path,
      field: '__metadata__',
      remedy: incomplete,
    });
  }
  return value as Record<string, string>;
}

function parseEntry(
  name: string,
  entry: unknown,
  path: string,
  file: string,
  dataStart: number,
): LazyTensor {
  const fault = (code: ErrorCode, problem: Message): UserError =>
    new UserError(code, problem, { file: path, field: name, remedy: incomplete });
  if (!isRecord(entry)) {
    throw fault('safetensors-entry-invalid', say`The header entry is not an object.`);
  }
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== 'string' || !Object.hasOwn(dtypeBits, dtype)) {
    throw fault(
      'safetensors-dtype-unknown',
      say`Unknown dtype ${JSON.stringify(dtype)}; supported are ${Object.keys(dtypeBits).join(', ')}.`,
    );
  }
  if (!Array.isArray(shape) || !shape.every(isSize)) {
    throw fault(
      'safetensors-shape-invalid',
      say`The shape ${JSON.stringify(shape)} is not a list of sizes.`,
    );
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize)) {
    throw fault(
      'safetensors-offsets-invalid',
      say`data_offsets ${JSON.stringify(offsets)} is not a pair of byte positions.`,
    );
  }
  const [begin = 0, end = 0] = offsets;
  const bits = elementCount(shape) * dtypeBits[dtype as SafetensorsDType];
  if (!Number.isSafeInteger(bits)) {
    throw fault(
      'tensor-shape-too-large',
      say`The shape [${shape.join(', ')}] has more elements than any file can contain.`,
    );
  }
  if (end - begin !== Math.ceil(bits / 8) || bits % 8 !== 0) {
    throw fault(
      'safetensors-size-mismatch',
      say`Shape [${shape.join(', ')}] of ${dtype} takes ${bits / 8} bytes, but data_offsets span ${end - begin}.`,
    );
  }
  return {
    name,
    dtype: dtype as SafetensorsDType,
    shape,
    file,
    offset: dataStart + begin,
    length: end - begin,
  };
}

/** The tensors must fill the data section exactly: no overlap, no hole, no missing end. */
function checkLayout(
  tensors: readonly LazyTensor[],
  path: string,
  dataStart: number,
  size: number,
): void {
  const byOffset = [...tensors].sort((a, b) => a.offset - b.offset || a.length - b.length);
  let end = dataStart;
  for (const tensor of byOffset) {
    if (tensor.offset !== end) {
      throw new UserError(
        tensor.offset < end ? 'tensor-overlap' : 'tensor-gap',
        tensor.offset < end
          ? say`Its data overlaps the tensor before it (byte ${tensor.offset}, expected ${end}).`
          : say`Its data starts at byte ${tensor.offset}, expected ${end}.`,
        { file: path, field: tensor.name, remedy: incomplete },
      );
    }
    end = tensor.offset + tensor.length;
  }
  if (end !== size) {
    throw new UserError(
      end > size ? 'file-truncated' : 'trailing-bytes',
      end > size
        ? say`The file is truncated: its header declares ${end} bytes, but it has ${size}.`
        : say`The file has ${size - end} bytes that belong to no tensor.`,
      { file: path, remedy: incomplete },
    );
  }
}

/** Opens a single .safetensors file or a `*.safetensors.index.json` with its shards. */
export async function openSafetensors(path: string): Promise<Checkpoint> {
  return path.endsWith(indexSuffix) ? openSharded(path) : openSingle(path);
}

async function openSingle(path: string): Promise<Checkpoint> {
  const { tensors, metadata } = await readSafetensorsHeader(path);
  const file = await resolveModelFile(path);
  return {
    tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])),
    files: [file],
    entry: path,
    metadata,
  };
}

async function openSharded(indexPath: string): Promise<Checkpoint> {
  const weightMap = await readWeightMap(indexPath);
  const shardNames = [...new Set(weightMap.values())].sort();
  const tensors = new Map<string, LazyTensor>();
  const files: string[] = [];
  let metadata: Readonly<Record<string, string>> = {};
  for (const shardName of shardNames) {
    const shardPath = join(dirname(indexPath), shardName);
    if (!(await isFile(shardPath))) {
      throw new UserError(
        'shard-missing',
        say`The shard is missing, though ${basename(indexPath)} lists it.`,
        { file: shardPath, remedy: say`Download it into the model folder.` },
      );
    }
    const header = await readSafetensorsHeader(shardPath);
    if (files.length === 0) {
      metadata = header.metadata;
    }
    files.push(await resolveModelFile(shardPath));
    for (const tensor of header.tensors) {
      const owner = weightMap.get(tensor.name);
      if (owner !== undefined && owner !== shardName) {
        throw new UserError(
          'shard-tensor-misplaced',
          say`The index places this tensor in ${owner}, but this file also contains it.`,
          {
            file: shardPath,
            field: tensor.name,
            remedy: say`Shards of two different models are mixed: download them again.`,
          },
        );
      }
      const other = tensors.get(tensor.name);
      if (other !== undefined) {
        throw new UserError(
          'shard-tensor-duplicate',
          say`The tensor is in ${basename(other.file)} too.`,
          {
            file: shardPath,
            field: tensor.name,
            remedy: say`Shards of two different models are mixed: download them again.`,
          },
        );
      }
      tensors.set(tensor.name, tensor);
    }
  }
  for (const [name, shardName] of weightMap) {
    if (!tensors.has(name)) {
      throw new UserError(
        'shard-tensor-missing',
        say`The index places this tensor in ${shardName}, which doesn't contain it.`,
        {
          file: indexPath,
          field: name,
          remedy: say`The index doesn't match the shards: download them again.`,
        },
      );
    }
  }
  return { tensors, files, entry: indexPath, metadata };
}

async function readWeightMap(indexPath: string): Promise<Map<string, string>> {
  const remedy = say`Download the index again.`;
  const text = await readModelText(indexPath);
  const index = parseJson(text, indexPath, remedy);
  const weightMap = isRecord(index) ? index['weight_map'] : undefined;
  if (!isRecord(weightMap)) {
    throw new UserError('weight-map-invalid', say`It must map tensor names to shard files.`, {
      file: indexPath,
      field: 'weight_map',
      remedy,
    });
  }
  return new Map(
    Object.entries(weightMap).map(([name, shard]) => {
      if (typeof shard !== 'string' || !isFileName(shard)) {
        throw new UserError(
          'shard-name-invalid',
          say`${JSON.stringify(shard)} is not the name of a file next to the index.`,
          { file: indexPath, field: `weight_map.${name}`, remedy },
        );
      }
      return [name, shard];
    }),
  );
}

/** Names that would lead out of the folder, on any system, are no file names. */
function isFileName(name: string): boolean {
  return !['', '.', '..'].includes(name) && !/[\\/]/.test(name);
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** The reference implementation pads the header with spaces so that data start at a multiple of this. */
const headerAlignment = 8;

/** A tensor to be written, under the name it gets. */
interface NamedTensor {
  readonly name: string;
  readonly tensor: Pick<LazyTensor, 'dtype' | 'shape' | 'length'>;
}

/**
 * The bytes before a safetensors file's data: the length of the header (little-endian u64) and the
 * header, its tensors lying one after the other in the order given.
 */
export function encodeHeader(
  tensors: readonly NamedTensor[],
  metadata: Readonly<Record<string, string>>,
): Buffer {
  const entries: [string, unknown][] = [['__metadata__', metadata]];
  let offset = 0;
  for (const { name, tensor } of tensors) {
    const { dtype, shape, length } = tensor;
    entries.push([name, { dtype, shape, data_offsets: [offset, offset + length] }]);
    offset += length;
  }
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const padded = Math.ceil(json.length / headerAlignment) * headerAlignment;
  const bytes = Buffer.alloc(8 + padded, ' ');
  bytes.writeBigUInt64LE(BigInt(padded));
  json.copy(bytes, 8);
  return bytes;
}
