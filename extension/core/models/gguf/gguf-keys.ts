import type { GgufHeader } from '../../checkpoints/gguf';
import { readGgufArray } from '../../checkpoints/gguf-values';
import type { ErrorCode } from '../../error-codes';
import { UserError } from '../../user-error';
import { counted, say } from '../../message';
import type { Message } from '../../message';

const convertAgain = say`Convert the model again with a recent llama.cpp.`;

/** Many more than any model has. */
const mostBlocks = 10_000;

/** Typed access to the keys of a GGUF header. Names without a dot in front belong to the family. */
export class GgufKeys {
  /** `general.architecture` */
  public readonly architecture: string;

  public constructor(
    private readonly header: GgufHeader,
    private readonly path: string,
  ) {
    const key = 'general.architecture';
    const value = header.metadata.get(key) ?? this.missing(key);
    this.architecture = typeof value === 'string' ? value : this.unfit(key, say`text`);
  }

  /** The full name of a family's key. */
  public name(key: string): string {
    return `${this.architecture}.${key}`;
  }

  public has(key: string): boolean {
    return this.header.metadata.has(this.name(key));
  }

  public hasTensor(name: string): boolean {
    return this.header.tensors.some((tensor) => tensor.name === name);
  }

  public isList(key: string): boolean {
    return typeof this.header.metadata.get(this.name(key)) === 'object';
  }

  public number(key: string): number {
    return this.numberIfPresent(key) ?? this.missing(this.name(key));
  }

  public numberIfPresent(key: string): number | undefined {
    const value = this.header.metadata.get(this.name(key));
    return value === undefined || typeof value === 'number'
      ? value
      : this.unfit(this.name(key), say`number`);
  }

  /**
   * Number of blocks.
   * @throws UserError if it is implausible, because lists with one entry per block are allocated from it
   */
  public blockCount(key = 'block_count'): number {
    const count = this.number(key);
    return Number.isInteger(count) && count >= 0 && count <= mostBlocks
      ? count
      : this.fault(
          this.name(key),
          'gguf-block-count-invalid',
          say`${count} is not a number of blocks up to ${mostBlocks}.`,
        );
  }

  public textIfPresent(key: string): string | undefined {
    const value = this.header.metadata.get(this.name(key));
    return value === undefined || typeof value === 'string'
      ? value
      : this.unfit(this.name(key), say`text`);
  }

  public flagIfPresent(key: string): boolean | undefined {
    const value = this.header.metadata.get(this.name(key));
    return value === undefined || typeof value === 'boolean'
      ? value
      : this.unfit(this.name(key), say`flag`);
  }

  /** A number, a text or a flag. */
  public valueIfPresent(key: string): number | string | boolean | undefined {
    const value = this.header.metadata.get(this.name(key));
    return value === undefined || ['number', 'string', 'boolean'].includes(typeof value)
      ? (value as number | string | boolean | undefined)
      : this.unfit(this.name(key), say`single value`);
  }

  /**
   * Reads a list with one flag per block, or a single number.
   * @param further number of multi-token prediction blocks that the list may also cover
   */
  public async flags(
    key: string,
    count: number,
    further = 0,
  ): Promise<readonly boolean[] | number | undefined> {
    const name = this.name(key);
    const value = this.header.metadata.get(name);
    if (typeof value !== 'object') {
      return this.numberIfPresent(key);
    }
    const flags = await readGgufArray(this.path, name, value);
    return flags.length === count || flags.length === count + further
      ? flags.slice(0, count).map(Boolean)
      : this.fault(
          name,
          'list-length-mismatch',
          say`It has ${flags.length} entries for ${counted(count, 'block')}.`,
        );
  }

  /** List of numbers. */
  public async list(key: string): Promise<readonly number[]> {
    const name = this.name(key);
    const value = this.header.metadata.get(name);
    if (typeof value !== 'object') {
      return value === undefined ? this.missing(name) : this.unfit(name, say`list`);
    }
    const numbers = await readGgufArray(this.path, name, value);
    return numbers.map((entry) =>
      typeof entry === 'number'
        ? entry
        : this.fault(name, 'gguf-entries-not-numbers', say`Its entries are not numbers.`),
    );
  }

  /** One integer per block; a single value applies to all of them. */
  public async numbers(key: string, count: number): Promise<readonly number[] | undefined> {
    const name = this.name(key);
    const value = this.header.metadata.get(name);
    if (typeof value !== 'object') {
      const single = this.numberIfPresent(key);
      return single === undefined ? undefined : Array.from({ length: count }, () => single);
    }
    if (value.length !== count) {
      this.fault(
        name,
        'list-length-mismatch',
        say`It has ${value.length} entries for ${counted(count, 'block')}.`,
      );
    }
    const numbers = await readGgufArray(this.path, name, value);
    return numbers.map((entry) =>
      typeof entry === 'number' && Number.isInteger(entry) && entry >= 0
        ? entry
        : this.fault(name, 'gguf-entries-not-integers', say`Its entries are not integers.`),
    );
  }

  /** Error about a key. By default its fix is to convert the model again with a known-good converter. */
  public fault(name: string, code: ErrorCode, problem: Message, remedy = convertAgain): never {
    throw new UserError(code, problem, {
      file: this.path,
      field: name,
      remedy,
    });
  }

  public missing(name: string): never {
    return this.fault(name, 'gguf-key-missing', say`The header lacks this key.`);
  }

  private unfit(name: string, expected: Message): never {
    return this.fault(
      name,
      'gguf-value-type-mismatch',
      say`Its value is not a ${expected}, the only type supported.`,
    );
  }
}
