/** An event without an editor: what vscode.EventEmitter is, for code that is tested outside. */
export class Signal<T> {
  readonly #listeners = new Set<(value: T) => void>();

  public readonly listen = (listener: (value: T) => void): { dispose(): void } => {
    this.#listeners.add(listener);
    return { dispose: () => this.#listeners.delete(listener) };
  };

  public fire(value: T): void {
    for (const listener of [...this.#listeners]) {
      listener(value);
    }
  }
}
