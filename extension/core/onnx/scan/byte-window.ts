import { readSync } from 'node:fs';

/** Small, since between weights only a few bytes are of interest. */
const firstBytes = 8 << 10;
const maxBytes = 256 << 10;

/** Reads a file at any position through one buffer; reading on in sequence makes it read farther. */
export class ByteWindow {
  private buffer = Buffer.alloc(0);
  private start = 0;
  private next = firstBytes;

  public constructor(
    private readonly descriptor: number,
    /** Bytes. */
    public readonly size: number,
  ) {}

  /** The byte at `position`, or undefined after the end of the file. */
  public byte(position: number): number | undefined {
    const index = position - this.start;
    if (index >= 0 && index < this.buffer.length) {
      return this.buffer[index];
    }
    this.fill(position);
    return this.buffer[position - this.start];
  }

  /** Copy of the bytes; shorter at the end of the file. */
  public bytes(position: number, length: number): Buffer {
    const index = position - this.start;
    if (index >= 0 && index + length <= this.buffer.length) {
      return Buffer.from(this.buffer.subarray(index, index + length));
    }
    const copy = Buffer.alloc(Math.max(0, Math.min(length, this.size - position)));
    return copy.subarray(0, this.read(copy, position));
  }

  private fill(position: number): void {
    const follows = position === this.start + this.buffer.length;
    this.next = follows ? Math.min(this.next * 2, maxBytes) : firstBytes;
    const buffer = Buffer.allocUnsafe(this.next);
    this.buffer = buffer.subarray(0, this.read(buffer, position));
    this.start = position;
  }

  private read(target: Buffer, position: number): number {
    let done = 0;
    while (done < target.length) {
      const count = readSync(this.descriptor, target, done, target.length - done, position + done);
      if (count === 0) {
        break;
      }
      done += count;
    }
    return done;
  }
}
