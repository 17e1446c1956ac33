import { realpath, stat } from 'node:fs/promises';
import { join, isAbsolute } from 'node:path';
import type { TensorProto } from '../onnx/proto/onnx_pb';
import { belongsToFolder } from './model-file';
import type { ErrorCode } from '../error-codes';
import { UserError } from '../user-error';
import { say } from '../message';

/** Byte range of a tensor in an external data file. */
export interface ExternalRange {
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
export class ExternalFiles {
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
