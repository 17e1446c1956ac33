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

/** How long this thread computes between two looks, whatever else the machine does meanwhile. */
export class Turns {
  /** What is done just now. */
  public doing = '';
  /** Milliseconds, and what was done then. */
  readonly #turns: { readonly milliseconds: number; readonly doing: string }[] = [];
  #timer: NodeJS.Timeout | undefined;

  public start(): void {
    let before = threadMicroseconds();
    const look = (): void => {
      const now = threadMicroseconds();
      this.#turns.push({ milliseconds: (now - before) / 1000, doing: this.doing });
      before = now;
      this.#timer = setTimeout(look, 1);
    };
    this.#timer = setTimeout(look, 1);
  }

  public stop(): void {
    clearTimeout(this.#timer);
  }

  /** In words: the quantiles, how many took too long for a frame, and the longest. */
  public toString(): string {
    const sorted = this.#turns.toSorted((a, b) => b.milliseconds - a.milliseconds);
    const at = (share: number): string =>
      (sorted[Math.floor(share * sorted.length)]?.milliseconds ?? 0).toFixed(1);
    const long = sorted.filter(({ milliseconds }) => milliseconds > 16);
    const longest = sorted
      .slice(0, 8)
      .map(({ milliseconds, doing }) => `${milliseconds.toFixed(1)} (${doing})`);
    return `the thread computes at a stretch: ${at(0.01)} ms at most in 99 % of ${sorted.length} looks, over 16 ms in ${long.length}; the longest ${longest.join(', ')}`;
  }
}
