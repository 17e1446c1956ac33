/** Estimates the remaining time of parts with known relative costs from the times of the finished parts. */
export class RemainingParts {
  readonly #costs: Map<string, number>;
  readonly #started = performance.now();
  #done = 0;
  #end: number | undefined;

  /**
   * Starts the clock.
   * @param costs relative cost of each part, by name
   */
  public constructor(costs: ReadonlyMap<string, number>) {
    this.#costs = new Map(costs);
  }

  public finish(part: string): void {
    this.#done += this.#costs.get(part) ?? 0;
    this.#costs.delete(part);
    const left = [...this.#costs.values()].reduce((sum, cost) => sum + cost, 0);
    const now = performance.now();
    this.#end = now + ((now - this.#started) * left) / this.#done;
  }

  /** Undefined before the first part is finished and after the estimated end has passed. */
  public get secondsLeft(): number | undefined {
    const now = performance.now();
    return this.#end === undefined || this.#end <= now ? undefined : (this.#end - now) / 1000;
  }
}
