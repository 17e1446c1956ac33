/** Kinds of values in Thrift's compact protocol. */
const kind = { true: 1, false: 2, byte: 3, double: 7, binary: 8, list: 9, set: 10, struct: 12 } as const;
const maxDepth = 32;
const lastVarintKind = 6;

/**
 * Walks through a footer in Thrift's compact protocol, as Parquet files have it
 * (thrift-compact-protocol.md of Apache Thrift), and checks that every list and string has room in it.
 * A reader that believes their sizes would otherwise run for hours.
 * @throws Error saying what does not fit.
 */
export function checkFooter(bytes: Uint8Array): void {
  new Walker(bytes).struct(0);
}

class Walker {
  private at = 0;

  public constructor(private readonly bytes: Uint8Array) {}

  public struct(depth: number): void {
    if (depth > maxDepth) {
      throw new Error('its footer is nested too deeply');
    }
    for (let header = this.byte(); header !== 0; header = this.byte()) {
      if (header >> 4 === 0) {
        this.varint();
      }
      this.value(header & 15, depth, false);
    }
  }

  private value(type: number, depth: number, inList: boolean): void {
    switch (type) {
      case kind.true:
      case kind.false:
        if (inList) {
          this.skip(1);
        }
        return;
      case kind.byte:
        this.skip(1);
        return;
      case kind.double:
        this.skip(8);
        return;
      case kind.binary:
        this.skip(this.varint());
        return;
      case kind.list:
      case kind.set:
        this.list(depth);
        return;
      case kind.struct:
        this.struct(depth + 1);
        return;
      default:
        if (type > lastVarintKind || type === 0) {
          throw new Error(`its footer has a value of the unknown kind ${type}`);
        }
        this.varint();
    }
  }

  private list(depth: number): void {
    const header = this.byte();
    const size = header >> 4 === 15 ? this.varint() : header >> 4;
    if (size > this.bytes.length - this.at) {
      throw new Error(`its footer has a list of ${size} values, more than it has bytes`);
    }
    for (let i = 0; i < size; i++) {
      this.value(header & 15, depth + 1, true);
    }
  }

  private byte(): number {
    const value = this.bytes[this.at++];
    if (value === undefined) {
      throw new Error('its footer ends too early');
    }
    return value;
  }

  private skip(count: number): void {
    this.at += count;
    if (this.at > this.bytes.length) {
      throw new Error('its footer ends too early');
    }
  }

  /** An unsigned number of up to 64 bits; those above 2⁵³ lose their last bits. */
  private varint(): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.byte();
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) {
        return value;
      }
    }
    throw new Error('its footer has a number that is too long');
  }
}
