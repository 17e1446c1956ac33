import { realpath, stat } from 'node:fs/promises';
import { dirname, resolve, join, isAbsolute } from 'node:path';
import type { GraphProto, ModelProto, TensorProto } from '../onnx/proto/onnx_pb';
import { TensorProto_DataLocation as DataLocation } from '../onnx/proto/onnx_pb';
import { scanModel } from '../onnx/scan/scan-model';
import type { ScannedModel } from '../onnx/scan/scan-model';
import type { ErrorCode } from '../error-codes';
import { UserError } from '../user-error';
import { hoistWeights, takeConstants } from './nested-weights';
import { withModelFile, belongsToFolder } from './model-file';
import { say } from '../message';
import type { Message } from '../message';
import { DataType } from '../onnx/graph-builder';
import type { DType } from './lazy-tensor';

/** A weight of an ONNX model that stays in its file. */
export interface OnnxInitializer {
  readonly name: string;
  /** Number of the element type, as in onnx.proto. */
  readonly dataType: number;
  /** The type's name, as in safetensors where it has one. */
  readonly dtype: string;
  readonly dims: readonly number[];
  /** Absolute path, links resolved: the .onnx file, or an external data file. */
  readonly file: string;
  readonly offset: number;
  /** Length in bytes. */
  readonly length: number;
  /**
   * The tensor with its contents if they are small or have no fixed-size elements; else undefined.
   */
  readonly inline: TensorProto | undefined;
  /** True if ONNX Runtime can read the bytes directly from the file. */
  readonly mappable: boolean;
}

/** Structure of an ONNX model and the locations of its weights. */
export interface OnnxFile {
  /** Absolute path as given: side files are next to a link, not next to its target. */
  readonly path: string;
  readonly model: ModelProto;
  readonly graph: GraphProto;
  /** Positions of the data of attributes and nested graphs in the .onnx file. */
  readonly payloads: ScannedModel['payloads'];
  /** Initializers by name; weights in Constant nodes and in branches of If count as such. */
  readonly initializers: ReadonlyMap<string, OnnxInitializer>;
  /** Number of Constant nodes that became initializers, including those in branches of If. */
  readonly liftedConstants: number;
  /** The .onnx file and its data files. */
  readonly files: readonly string[];
}

const maxNameLength = 65_536;
const maxRank = 64;

/**
 * Opens an .onnx file. Only its structure is read, however large its weights are.
 * @throws UserError naming the file and the tensor at fault.
 */
export async function openOnnx(path: string): Promise<OnnxFile> {
  return withModelFile(path, async ({ handle, file, size }) => {
    const scanned = scanModel(handle.fd, size, path);
    const { graph } = scanned.model;
    if (graph?.node.length === 0 && graph.output.length > 0) {
      throw new UserError('onnx-graph-empty', say`The graph is empty: it has no nodes.`, {
        file: path,
        remedy: say`Export the model again.`,
      });
    }
    if (graph === undefined || graph.node.length === 0) {
      throw new UserError('onnx-graph-missing', say`The file holds no graph.`, {
        file: path,
        remedy: say`Choose an ONNX model. This may be another kind of file.`,
      });
    }
    const folder = await realpath(dirname(resolve(path)));
    const external = new ExternalFiles(path, file, folder);
    const initializers = new Map<string, OnnxInitializer>();
    const liftedConstants = liftConstants(graph, scanned);
    for (const tensor of graph.initializer) {
      checkName(tensor.name, path);
      if (initializers.has(tensor.name)) {
        throw new UserError('onnx-weight-duplicate', say`Two weights have this name.`, {
          file: path,
          field: tensor.name,
          remedy: say`Export the model again.`,
        });
      }
      initializers.set(tensor.name, await place(tensor, scanned, { path, file, external }));
    }
    for (const { input, output } of graph.node) {
      for (const name of [...input, ...output]) {
        checkName(name, path);
      }
    }
    const files = [...new Set([file, ...external.files])];
    const { model, payloads } = scanned;
    return { path: resolve(path), model, graph, payloads, initializers, liftedConstants, files };
  });
}

/** Some exporters put weights into Constant nodes; as initializers they stay in the file. */
function liftConstants(graph: GraphProto, { payloads }: ScannedModel): number {
  const isWeight = (tensor: TensorProto): boolean =>
    (tensor.dims.length > 0 && dataTypeName(tensor.dataType).startsWith('F')) ||
    payloads.get(tensor)?.stripped === true;
  const lifted = takeConstants(graph, isWeight);
  graph.initializer.push(...lifted);
  return lifted.length + hoistWeights(graph, isWeight);
}

interface Place {
  readonly path: string;
  readonly file: string;
  readonly external: ExternalFiles;
}

async function place(
  tensor: TensorProto,
  scanned: ScannedModel,
  { path, file, external }: Place,
): Promise<OnnxInitializer> {
  const fault = (code: ErrorCode, problem: Message): UserError =>
    new UserError(code, problem, {
      file: path,
      field: tensor.name,
      remedy: say`The file is damaged or incomplete: download or export it again.`,
    });
  const dims = tensor.dims.map(Number);
  const elements = dims.reduce((product, size) => product * size, 1);
  if (dims.length > maxRank || dims.some((size) => size < 0) || !Number.isSafeInteger(elements)) {
    throw fault('onnx-dimensions-invalid', say`Its dimensions are not valid for a tensor.`);
  }
  const bits = dataTypeBits(tensor.dataType);
  const expected = bits === undefined ? undefined : Math.ceil((elements * bits) / 8);
  const common = {
    name: tensor.name,
    dataType: tensor.dataType,
    dtype: dataTypeName(tensor.dataType),
    dims,
  };
  if (tensor.dataLocation === DataLocation.EXTERNAL) {
    if (expected === undefined) {
      throw fault(
        'onnx-dtype-not-storable',
        say`Elements of ${common.dtype} cannot be stored in a data file.`,
      );
    }
    const range = await external.locate(tensor);
    if (range.length !== undefined && range.length !== expected) {
      throw fault(
        'onnx-data-length-mismatch',
        say`Its data is declared as ${range.length} bytes, but its shape needs ${expected}.`,
      );
    }
    if (range.offset + expected > range.size) {
      throw new UserError(
        'onnx-data-truncated',
        say`${tensor.name} needs ${range.offset + expected} bytes, but the file ends after ${range.size}.`,
        { file: range.file, remedy: say`Download it again.` },
      );
    }
    const { offset } = range;
    return {
      ...common,
      file: range.file,
      offset,
      length: expected,
      inline: undefined,
      mappable: true,
    };
  }
  const payload = scanned.payloads.get(tensor);
  const { offset = 0, length = 0, encoding = 'varint', stripped = false } = payload ?? {};
  if (encoding === 'fixed' && expected !== undefined && length !== expected) {
    throw fault(
      'onnx-data-length-mismatch',
      say`Its data takes ${length} bytes, but its shape needs ${expected}.`,
    );
  }
  return {
    ...common,
    file,
    offset,
    length,
    inline: stripped ? undefined : tensor,
    mappable: encoding === 'fixed' && expected !== undefined,
  };
}

/** The decoder replaces invalid UTF-8 with U+FFFD, so that different names could become equal. */
function checkName(name: string, path: string): void {
  if (name.includes('\ufffd') || name.length > maxNameLength) {
    throw new UserError(
      'onnx-name-invalid',
      say`A name in the graph is too long, or not valid UTF-8.`,
      { file: path, field: name.slice(0, 80), remedy: say`Export the model again.` },
    );
  }
}

/** Byte range of a tensor in an external data file. */
interface ExternalRange {
  /** Absolute path, links resolved. */
  readonly file: string;
  readonly offset: number;
  /** Length in bytes, if the model declares it. */
  readonly length: number | undefined;
  /** Size of the file in bytes. */
  readonly size: number;
}

interface DataFile {
  readonly file: string;
  readonly size: number;
}

const unsafe = say`Files outside of the folder are never read. Put the data next to the model.`;

/** Finds the data files that the tensors of one model name. */
class ExternalFiles {
  private readonly found = new Map<string, DataFile>();

  public constructor(
    /** The model as the user named it. */
    private readonly path: string,
    /** The model with links resolved. */
    private readonly model: string,
    /** The folder that locations are relative to, links resolved. */
    private readonly folder: string,
  ) {}

  /** Files found so far, in order of first use. */
  public get files(): readonly string[] {
    return [...this.found.values()].map(({ file }) => file);
  }

  /** @throws UserError naming the tensor, and the data file where that is at fault. */
  public async locate(tensor: TensorProto): Promise<ExternalRange> {
    const entries = new Map(tensor.externalData.map(({ key, value }) => [key, value]));
    const location = entries.get('location') ?? '';
    const { file, size } = this.found.get(location) ?? (await this.find(location, tensor.name));
    const number = (key: string): number | undefined => {
      const text = entries.get(key);
      const value = Number(text);
      if (text !== undefined && !(/^\d{1,16}$/.test(text) && Number.isSafeInteger(value))) {
        throw this.fault(
          'onnx-data-entry-invalid',
          `The ${key} "${shorten(text)}" of its data is not an integer`,
          tensor.name,
        );
      }
      return text === undefined ? undefined : value;
    };
    return { file, size, offset: number('offset') ?? 0, length: number('length') };
  }

  private async find(location: string, tensor: string): Promise<DataFile> {
    const parts = location.split(/[/\\]/);
    if (
      location === '' ||
      location.length > 4096 ||
      location.includes('\0') ||
      isAbsolute(location) ||
      /^(?:[/\\]|[A-Za-z]:)/.test(location) ||
      parts.includes('..')
    ) {
      throw this.fault(
        'onnx-data-outside-folder',
        `The location of its data is "${shorten(location)}"`,
        tensor,
        unsafe,
      );
    }
    const joined = join(this.folder, ...parts);
    const file = await realpath(joined).catch(() => {
      throw this.fault(
        'onnx-data-missing',
        `Its data file ${shorten(location)} is missing`,
        tensor,
        say`Put the data file next to the model: models above 2 GB have one.`,
      );
    });
    if (!belongsToFolder(this.folder, file)) {
      throw this.fault(
        'onnx-data-link',
        `Its data file ${shorten(location)} is a link out of the folder`,
        tensor,
        unsafe,
      );
    }
    if (file === this.model) {
      throw this.fault(
        'onnx-data-inside-model',
        'The location of its data is the .onnx file itself',
        tensor,
      );
    }
    const status = await stat(file);
    if (!status.isFile()) {
      throw this.fault(
        'onnx-data-not-regular',
        `Its data file ${shorten(location)} is not a regular file`,
        tensor,
      );
    }
    const entry = { file, size: status.size };
    this.found.set(location, entry);
    return entry;
  }

  private fault(
    code: ErrorCode,
    problem: string,
    tensor: string,
    remedy = say`Export the model again.`,
  ): UserError {
    return new UserError(code, say`${problem}.`, { file: this.path, field: tensor, remedy });
  }
}

function shorten(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

/** Bits per element; strings have none. */
const bits: Readonly<Record<number, number>> = {
  [DataType.FLOAT]: 32,
  [DataType.UINT8]: 8,
  [DataType.INT8]: 8,
  [DataType.UINT16]: 16,
  [DataType.INT16]: 16,
  [DataType.INT32]: 32,
  [DataType.INT64]: 64,
  [DataType.BOOL]: 8,
  [DataType.FLOAT16]: 16,
  [DataType.DOUBLE]: 64,
  [DataType.UINT32]: 32,
  [DataType.UINT64]: 64,
  [DataType.COMPLEX64]: 64,
  [DataType.COMPLEX128]: 128,
  [DataType.BFLOAT16]: 16,
  [DataType.FLOAT8E4M3FN]: 8,
  [DataType.FLOAT8E4M3FNUZ]: 8,
  [DataType.FLOAT8E5M2]: 8,
  [DataType.FLOAT8E5M2FNUZ]: 8,
  [DataType.FLOAT8E8M0]: 8,
  [DataType.UINT4]: 4,
  [DataType.INT4]: 4,
  [DataType.FLOAT4E2M1]: 4,
};

/** Bits per element, or undefined for types whose elements have no fixed size. */
export function dataTypeBits(type: number): number | undefined {
  return bits[type];
}

const dtypes: Readonly<Record<number, DType>> = {
  [DataType.FLOAT]: 'F32',
  [DataType.UINT8]: 'U8',
  [DataType.INT8]: 'I8',
  [DataType.UINT16]: 'U16',
  [DataType.INT16]: 'I16',
  [DataType.INT32]: 'I32',
  [DataType.INT64]: 'I64',
  [DataType.BOOL]: 'BOOL',
  [DataType.FLOAT16]: 'F16',
  [DataType.DOUBLE]: 'F64',
  [DataType.UINT32]: 'U32',
  [DataType.UINT64]: 'U64',
  [DataType.COMPLEX64]: 'C64',
  [DataType.BFLOAT16]: 'BF16',
  [DataType.FLOAT8E4M3FN]: 'F8_E4M3',
  [DataType.FLOAT8E5M2]: 'F8_E5M2',
  [DataType.FLOAT8E8M0]: 'F8_E8M0',
  [DataType.FLOAT4E2M1]: 'F4',
};

/** safetensors name of the type, or the ONNX name if safetensors has none. */
export function dataTypeName(type: number): string {
  return dtypes[type] ?? DataType[type] ?? `type ${type}`;
}
