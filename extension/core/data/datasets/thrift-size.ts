/** Thrown for a structure whose decoded form would take too much memory. */
class ThriftSizeError extends Error {}

/** Average memory per decoded value (object, bigint or number), in bytes. */
const bytesPerValue = 64;
/** Maximum nesting depth. Parquet's own structures have about ten levels. */
const maxLevels = 50;

/** Type codes of Thrift's compact protocol. */
const [stop, isTrue, isFalse, byte, int16, int32, int64] = [0, 1, 2, 3, 4, 5, 6] as const;
const [double, binary, list, set, , struct] = [7, 8, 9, 10, 11, 12] as const;

/**
 * Checks the size of a structure in Thrift's compact protocol before decoding: one byte can encode an object, and a few
 * bytes a list larger than memory.
 * @param most maximum memory of the values, in bytes
 * @throws ThriftSizeError if more is needed, or the structure is damaged
 */
export function checkThriftSize(bytes: Uint8Array, most: number): void {
  new Walk(bytes, Math.floor(most / bytesPerValue)).struct(0);
}

class Walk {
  #at = 0;

  public constructor(
    private readonly bytes: Uint8Array,
    private valuesLeft: number,
  ) {}

  public struct(level: number): void {
    if (level > maxLevels) {
      throw new ThriftSizeError(`the footer is nested more than ${maxLevels} deep`);
    }
    this.#count(1);
    for (;;) {
      const header = this.#byte();
      const type = header & 0xf;
      if (type === stop) {
        return;
      }
      if (header >> 4 === 0) {
        this.#varint();
      }
      this.#count(1);
      if (type !== isTrue && type !== isFalse) {
        this.#value(type, level);
      }
    }
  }

  #value(type: number, level: number): void {
    switch (type) {
      case isTrue:
      case isFalse:
      case byte:
        this.#skip(1);
        return;
      case int16:
      case int32:
      case int64:
        this.#varint();
        return;
      case double:
        this.#skip(8);
        return;
      case binary:
        this.#skip(this.#varint());
        return;
      case list:
      case set:
        this.#list(level);
        return;
      case struct:
        this.struct(level + 1);
        return;
      default:
        throw new ThriftSizeError(`the footer has a value of type ${type}`);
    }
  }

  #list(level: number): void {
    const header = this.#byte();
    const size = header >> 4 === 15 ? this.#varint() : header >> 4;
    this.#count(size);
    for (let i = 0; i < size; i++) {
      this.#value(header & 0xf, level + 1);
    }
  }

  #count(values: number): void {
    this.valuesLeft -= values;
    if (this.valuesLeft < 0) {
      throw new ThriftSizeError('the footer has too many values');
    }
  }

  #byte(): number {
    const value = this.bytes[this.#at++];
    if (value === undefined) {
      throw new ThriftSizeError('the footer ends too early');
    }
    return value;
  }

  #varint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const one = this.#byte();
      value += (one & 0x7f) * scale;
      if (one < 0x80) {
        return value;
      }
    }
  }

  #skip(bytes: number): void {
    this.#at += bytes;
  }
}
