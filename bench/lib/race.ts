/** Work that is timed. */
export interface Task {
  readonly name: string;
  readonly run: () => Promise<unknown>;
  /** Number of items that one run processes, to compute the milliseconds of one. */
  readonly count: number;
}

const repeats = 9;

/** Median milliseconds of each task over nine runs in which they take turns; a first one makes sessions. */
export async function race(tasks: readonly Task[]): Promise<Record<string, number>> {
  const times = new Map(tasks.map(({ name }) => [name, [] as number[]]));
  for (let repeat = 0; repeat <= repeats; repeat++) {
    for (const { name, run, count } of tasks) {
      const start = performance.now();
      await run();
      if (repeat > 0) times.get(name)?.push((performance.now() - start) / count);
    }
  }
  return Object.fromEntries([...times].map(([name, all]) => [name, median(all)]));
}

function median(all: readonly number[]): number {
  return all.toSorted((a, b) => a - b)[all.length >> 1] ?? Number.NaN;
}

/** Float32 in −0.5 to 0.5. */
export function randomRows(count: number, width: number): Float32Array {
  return Float32Array.from({ length: count * width }, () => Math.random() - 0.5);
}
