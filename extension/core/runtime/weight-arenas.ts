/** Memory of computed weights, reused from session to session. */
export interface WeightArena {
  readonly buffer: ArrayBuffer;
  /** Keeps the memory for the next session. */
  readonly release: () => void;
  /** Returns the memory to the system. */
  readonly drop: () => void;
}

/** Arenas that stay allocated for the next sessions: streamed models alternate between two kinds of sublayers. */
const mostFree = 2;

/** Allocates arenas; those that are released are reused if the next session needs about as much. */
class WeightArenas {
  /** The one released last is the first. */
  private free: ArrayBuffer[] = [];

  public take(bytes: number): WeightArena {
    const fits = this.free
      .filter(({ byteLength }) => byteLength >= bytes && byteLength <= 2 * bytes)
      .sort((a, b) => a.byteLength - b.byteLength);
    const [known] = fits;
    // Before one is allocated, the oldest that is free is dropped: it may be of a model that doesn't run now.
    this.free =
      known === undefined
        ? this.free.slice(0, mostFree - 1)
        : this.free.filter((one) => one !== known);
    const buffer = known ?? new ArrayBuffer(bytes);
    let isHeld = true;
    return {
      buffer,
      release: () => {
        if (isHeld) {
          this.free = [buffer, ...this.free].slice(0, mostFree);
        }
        isHeld = false;
      },
      drop: () => {
        isHeld = false;
      },
    };
  }

  /** Returns all free memory to the system. */
  public clear(): void {
    this.free = [];
  }
}

/** Arenas of all sessions of this process. */
export const weightArenas = new WeightArenas();
