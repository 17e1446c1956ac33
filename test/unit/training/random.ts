/** Numbers from a seed, for tests (mulberry32). */
export class Random {
  private state: number;

  public constructor(seed: number) {
    this.state = seed >>> 0;
  }

  /** In [0, 1). */
  public uniform(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from `low` to `high`, both included. */
  public int(low: number, high: number): number {
    return low + Math.floor(this.uniform() * (high - low + 1));
  }

  public pick<T>(...options: readonly [T, ...T[]]): T {
    return options[this.int(0, options.length - 1)] ?? options[0];
  }

  public normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  public normals(count: number): number[] {
    return Array.from({ length: count }, () => this.normal());
  }

  public between(count: number, low: number, high: number): number[] {
    return Array.from({ length: count }, () => low + (high - low) * this.uniform());
  }

  /** Numbers around 0 whose distances from each other and from 0 are at least 0.2. */
  public distinct(count: number): number[] {
    const values = Array.from(
      { length: count },
      (_, i) => 0.25 * (i - Math.floor(count / 2)) + 0.12,
    );
    for (let i = count - 1; i > 0; i--) {
      const j = this.int(0, i);
      [values[i], values[j]] = [values[j] ?? 0, values[i] ?? 0];
    }
    return values;
  }

  /** Sizes of `rank` axes. */
  public shape(rank: number, most = 4): number[] {
    return Array.from({ length: rank }, () => this.int(1, most));
  }

  /** A shape that can be repeated to `shape`: axes of size 1, or left out in front. */
  public broadcastTo(shape: readonly number[]): number[] {
    const remaining = shape.slice(this.pick(0, 0, this.int(0, shape.length)));
    return remaining.map((size) => (this.uniform() < 0.3 ? 1 : size));
  }
}

export const product = (shape: readonly number[]): number =>
  shape.reduce((all, size) => all * size, 1);
