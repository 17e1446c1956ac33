import { Interruptions } from './interruptions';
import { threadMilliseconds } from './thread-time';

/** A frame at 60 a second. */
const frameMilliseconds = 16;

/** Number of longest turns to report. */
const reported = 8;

interface LongTurn {
  readonly from: number;
  readonly to: number;
  /** Processor time. */
  readonly milliseconds: number;
  readonly doing: string;
}

/** Time that this thread computes between two checks, regardless of other load on the machine. */
export class Turns {
  /** Current activity. */
  public doing = '';
  /** Histogram in tenths of a millisecond; a list of all times would itself be growth. */
  readonly #counts = new Map<number, number>();
  /** Turns longer than half a frame. */
  readonly #long: LongTurn[] = [];
  readonly #interruptions = new Interruptions();
  #timer: NodeJS.Timeout | undefined;

  /** @param own part of the path of Espalier's own bundles */
  public constructor(own: string) {
    this.#interruptions.start(own);
  }

  public start(): void {
    let [before, from] = [threadMilliseconds(), performance.now()];
    const look = (): void => {
      const to = performance.now();
      const milliseconds = threadMilliseconds() - before;
      const tenths = Math.ceil(10 * milliseconds);
      this.#counts.set(tenths, (this.#counts.get(tenths) ?? 0) + 1);
      if (milliseconds > frameMilliseconds / 2) {
        this.#long.push({ from, to, milliseconds, doing: this.doing });
      }
      [before, from] = [threadMilliseconds(), to];
      this.#timer = setTimeout(look, 1);
    };
    this.#timer = setTimeout(look, 1);
  }

  public stop(): void {
    clearTimeout(this.#timer);
  }

  public dispose(): void {
    this.stop();
    this.#interruptions.stop();
  }

  /** In words: the quantiles, how many took too long for a frame, and the longest. */
  public toString(): string {
    const counts = [...this.#counts].sort(([a], [b]) => b - a);
    const looks = counts.reduce((sum, [, count]) => sum + count, 0);
    let [above, most] = [0, 0];
    for (const [tenths, count] of counts) {
      most = above <= looks / 100 ? tenths : most;
      above += count;
    }
    const own = this.#long.map((turn) => ({
      ...turn,
      milliseconds: Math.max(0, turn.milliseconds - this.#interruptions.within(turn.from, turn.to)),
    }));
    return [
      `the thread computes at a stretch: ${(most / 10).toFixed(1)} ms at most in 99 % of ${looks} looks, ${longest(this.#long)}`,
      `without collected garbage and processes that others start: ${longest(own)}`,
    ].join('\n');
  }
}

const longest = (turns: readonly LongTurn[]): string => {
  const over = turns.filter(({ milliseconds }) => milliseconds > frameMilliseconds);
  const words = [...turns]
    .sort((a, b) => b.milliseconds - a.milliseconds)
    .slice(0, reported)
    .map(({ milliseconds, doing }) => `${milliseconds.toFixed(1)} (${doing})`);
  return `over ${frameMilliseconds} ms in ${over.length}; the longest ${words.join(', ')}`;
};
