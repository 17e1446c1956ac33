/** Calls `act` immediately, then at most once per interval; the last call of a burst is never dropped. */
export class Throttle {
  #timer: NodeJS.Timeout | undefined;
  #again = false;

  public constructor(
    private readonly act: () => void,
    private readonly milliseconds: number,
  ) {}

  public trigger(): void {
    if (this.#timer !== undefined) {
      this.#again = true;
      return;
    }
    this.act();
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#again) {
        this.#again = false;
        this.trigger();
      }
    }, this.milliseconds);
  }

  public dispose(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#again = false;
  }
}
