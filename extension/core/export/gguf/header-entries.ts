import { arrayType, stringType } from '../../checkpoints/gguf-values';
import type { Checkpoint } from '../../checkpoints/lazy-tensor';
import type { Cancellation } from '../../jobs/job';
import { curveKey, curveWeights } from '../../models/gguf/gguf-rows';
import { readNumber } from './gguf-tensors';

/** Value types by number (`enum gguf_metadata_value_type`). */
const uint8Type = 0;
const uint32Type = 4;
const int32Type = 5;
const float32Type = 6;
const boolType = 7;

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

export function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

export function string(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([uint64(bytes.length), bytes]);
}

function entry(key: string, type: number, value: Uint8Array): Buffer {
  return Buffer.concat([string(key), uint32(type), value]);
}

function list(key: string, type: number, count: number, values: Uint8Array): Buffer {
  return entry(key, arrayType, Buffer.concat([uint32(type), uint64(count), values]));
}

const toBytes = (numbers: Float32Array | Int32Array): Uint8Array =>
  new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);

/** Entries of a GGUF header: a key with its value, as the conversion of llama.cpp types them. */
/** Key of an entry about the tokenizer. */
export const tokenizerKey = (name: string): string => `tokenizer.ggml.${name}`;

/** Makers of GGUF header entries, by value type. */
export const headerEntry = {
  text: (key: string, value: string) => entry(key, stringType, string(value)),
  integer: (key: string, value: number) => entry(key, uint32Type, uint32(value)),
  float: (key: string, value: number) => entry(key, float32Type, toBytes(Float32Array.of(value))),
  flag: (key: string, value: boolean) => entry(key, boolType, Uint8Array.of(Number(value))),
  texts: (key: string, values: readonly string[]) =>
    list(key, stringType, values.length, Buffer.concat(values.map(string))),
  integers: (key: string, values: readonly number[]) =>
    list(key, int32Type, values.length, toBytes(Int32Array.from(values))),
  bytes: (key: string, values: Uint8Array) => list(key, uint8Type, values.length, values),
  floats: (key: string, values: readonly number[]) =>
    list(key, float32Type, values.length, toBytes(Float32Array.from(values))),
  flags: (key: string, values: readonly boolean[]) =>
    list(key, boolType, values.length, Uint8Array.from(values, Number)),
} as const;

/**
 * Header of a model of one family, with one entry per key. A later entry replaces an earlier one.
 */
export class HeaderEntries {
  private readonly entries = new Map<string, Buffer>();

  /** @param architecture prefix of the keys */
  public constructor(private readonly architecture: string) {}

  /** Adds the entries that files of every family have. */
  public general(name: string, fileType: number): void {
    for (const [key, value] of [
      ['architecture', this.architecture],
      ['type', 'model'],
      ['name', name],
    ] as const) {
      this.entries.set(`general.${key}`, headerEntry.text(`general.${key}`, value));
    }
    for (const [key, value] of [
      ['file_type', fileType],
      ['quantization_version', 2],
    ] as const) {
      this.entries.set(`general.${key}`, headerEntry.integer(`general.${key}`, value));
    }
  }

  public integer(field: string, value: number): void {
    this.set(field, headerEntry.integer(this.key(field), value));
  }

  public float(field: string, value: number): void {
    this.set(field, headerEntry.float(this.key(field), value));
  }

  public floatIfPresent(field: string, value: number | null | undefined): void {
    if (typeof value === 'number') {
      this.float(field, value);
    }
  }

  public text(field: string, value: string): void {
    this.set(field, headerEntry.text(this.key(field), value));
  }

  public flag(field: string, value: boolean): void {
    this.set(field, headerEntry.flag(this.key(field), value));
  }

  public flags(field: string, values: readonly boolean[]): void {
    this.set(field, headerEntry.flags(this.key(field), values));
  }

  public floats(field: string, values: readonly number[]): void {
    this.set(field, headerEntry.floats(this.key(field), values));
  }

  public integers(field: string, values: readonly number[]): void {
    this.set(field, headerEntry.integers(this.key(field), values));
  }

  public remove(...fields: readonly string[]): void {
    for (const field of fields) {
      this.entries.delete(this.key(field));
    }
  }

  public bytes(): Buffer[] {
    return [...this.entries.values()];
  }

  private key(field: string): string {
    return `${this.architecture}.${field}`;
  }

  private set(field: string, entry: Buffer): void {
    this.entries.set(this.key(field), entry);
  }
}

/**
 * Header entries, by key, with the xIELU weights of the remaining blocks.
 * @param blockPrefix prefix of such a weight's name in the source, by remaining block
 */
export async function curveEntries(
  { tensors }: Pick<Checkpoint, 'tensors'>,
  blocks: readonly number[],
  blockPrefix: (source: number) => string,
  cancellation: Cancellation,
): Promise<ReadonlyMap<string, Buffer>> {
  const entries = new Map<string, Buffer>();
  for (const weight of Object.keys(curveWeights)) {
    const numbers: number[] = [];
    for (const source of blocks) {
      const name = `${blockPrefix(source)}.${weight}`;
      const tensor = tensors.get(name);
      if (tensor === undefined) {
        throw new Error(`${name} was found when the model was opened`);
      }
      numbers.push(await readNumber(tensor, cancellation));
    }
    const key = curveKey(weight);
    entries.set(key, headerEntry.floats(key, numbers));
  }
  return entries;
}
