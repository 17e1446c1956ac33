/** Growable array of 32-bit integers with doubling capacity. */
export class GrowableArray {
  public values = new Int32Array(1024);
  public length = 0;

  public push(value: number): void {
    if (this.length === this.values.length) {
      this.reserve(1);
    }
    this.values[this.length++] = value;
  }

  public at(index: number): number {
    return this.values[index] ?? 0;
  }

  /** Reserves capacity for `count` more. */
  public reserve(count: number): void {
    if (this.length + count > this.values.length) {
      const grown = new Int32Array(Math.max(2 * this.values.length, this.length + count));
      grown.set(this.values);
      this.values = grown;
    }
  }
}
