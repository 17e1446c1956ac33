import process from 'node:process';

/** Of newer Nodes, as editors have them. */
interface Process {
  readonly threadCpuUsage?: () => NodeJS.CpuUsage;
}

/** Where this Node cannot tell, what all threads of the process take. */
const threadMicroseconds = (): number => {
  const { user, system } = (process as Process).threadCpuUsage?.() ?? process.cpuUsage();
  return user + system;
};

/** Of the longest, so many are told. */
const told = 8;

/** How long this thread computes between two looks, whatever else the machine does meanwhile. */
export class Turns {
  /** What is done just now. */
  public doing = '';
  /** How many took so many tenths of a millisecond: a list of all would be the growth that is looked for. */
  readonly #counts = new Map<number, number>();
  /** Those that took longest. */
  #longest: readonly { readonly milliseconds: number; readonly doing: string }[] = [];
  #timer: NodeJS.Timeout | undefined;

  public start(): void {
    let before = threadMicroseconds();
    const look = (): void => {
      const now = threadMicroseconds();
      this.#add((now - before) / 1000);
      before = now;
      this.#timer = setTimeout(look, 1);
    };
    this.#timer = setTimeout(look, 1);
  }

  public stop(): void {
    clearTimeout(this.#timer);
  }

  #add(milliseconds: number): void {
    const tenths = Math.ceil(10 * milliseconds);
    this.#counts.set(tenths, (this.#counts.get(tenths) ?? 0) + 1);
    if (milliseconds > (this.#longest[told - 1]?.milliseconds ?? 0)) {
      this.#longest = [...this.#longest, { milliseconds, doing: this.doing }]
        .sort((a, b) => b.milliseconds - a.milliseconds)
        .slice(0, told);
    }
  }

  /** In words: the quantiles, how many took too long for a frame, and the longest. */
  public toString(): string {
    const counts = [...this.#counts].sort(([a], [b]) => b - a);
    const looks = counts.reduce((sum, [, count]) => sum + count, 0);
    let [above, most, long] = [0, 0, 0];
    for (const [tenths, count] of counts) {
      most = above <= looks / 100 ? tenths : most;
      long += tenths > 160 ? count : 0;
      above += count;
    }
    const longest = this.#longest.map(
      ({ milliseconds, doing }) => `${milliseconds.toFixed(1)} (${doing})`,
    );
    return `the thread computes at a stretch: ${(most / 10).toFixed(1)} ms at most in 99 % of ${looks} looks, over 16 ms in ${long}; the longest ${longest.join(', ')}`;
  }
}
