import type { FileHandle } from 'node:fs/promises';
import type { ErrorCode } from '../error-codes';
import { UserError } from '../user-error';
import type { Message } from '../message';
import { say } from '../message';

/** Fix suggested for damaged GGUF files. */
export const ggufDamaged = say`The file is damaged or incomplete: download or convert it again.`;

/** Longest header that is read, in bytes: those of models with 260 000 tokens have some 15 MB. */
const maxHeaderBytes = 1 << 28;
const chunkBytes = 1 << 20;

/**
 * Sequential reader for a GGUF header, one chunk of the file at a time. Safe for hostile files: every length is checked
 * against the file size, and token lists are skipped, whereas @huggingface/gguf keeps them in memory.
 */
export class GgufReader {
  private buffer = Buffer.alloc(0);
  private bufferStart = 0;
  /** Number of texts and lists in the lists of the header so far. */
  public listed = 0;

  public constructor(
    private readonly handle: FileHandle,
    private readonly size: number,
    public readonly path: string,
    /** Absolute position of the next byte. */
    public position = 0,
  ) {}

  /** An error about what is read just now. */
  public fault(code: ErrorCode, problem: Message, field?: string): UserError {
    return new UserError(code, problem, {
      file: this.path,
      ...(field === undefined ? {} : { field }),
      remedy: ggufDamaged,
    });
  }

  public async uint8(): Promise<number> {
    return (await this.take(1)).readUInt8();
  }

  public async uint32(): Promise<number> {
    return (await this.take(4)).readUInt32LE();
  }

  /** A count or position. */
  public async size64(what: Message): Promise<number> {
    const value = (await this.take(8)).readBigUInt64LE();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw this.fault('gguf-value-invalid', say`${value} is not a valid ${what}.`);
    }
    return Number(value);
  }

  public async string(what: Message, maxBytes: number): Promise<string> {
    const length = await this.size64(say`length of a ${what}`);
    if (length > maxBytes) {
      throw this.fault(
        'gguf-value-too-long',
        say`A ${what} of ${length} bytes is longer than the ${maxBytes} expected.`,
      );
    }
    const bytes = await this.take(length);
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      throw this.fault(
        'gguf-value-not-utf8',
        say`A ${what} at byte ${this.position - length} is not UTF-8.`,
      );
    }
  }

  /** The next `length` bytes, valid until the next call. */
  public async take(length: number): Promise<Buffer> {
    this.require(length);
    const start = this.position - this.bufferStart;
    if (start < 0 || start + length > this.buffer.length) {
      await this.fill(length);
    }
    const from = this.position - this.bufferStart;
    this.position += length;
    return this.buffer.subarray(from, from + length);
  }

  public skip(length: number): void {
    this.require(length);
    this.position += length;
  }

  private require(length: number): void {
    const end = this.position + length;
    if (!(end <= this.size)) {
      throw this.fault(
        'header-truncated',
        say`The header needs ${end} bytes, but the file ends after ${this.size}.`,
      );
    }
    if (end > maxHeaderBytes) {
      throw this.fault(
        'gguf-header-too-long',
        say`The header is longer than the ${maxHeaderBytes} bytes expected.`,
      );
    }
  }

  private async fill(length: number): Promise<void> {
    const wanted = Math.min(Math.max(length, chunkBytes), this.size - this.position);
    const buffer = Buffer.alloc(wanted);
    const { bytesRead } = await this.handle.read(buffer, 0, wanted, this.position);
    if (bytesRead < length) {
      throw this.fault(
        'header-truncated',
        say`The file ends after ${this.position + bytesRead} bytes.`,
      );
    }
    this.buffer = buffer.subarray(0, bytesRead);
    this.bufferStart = this.position;
  }
}
