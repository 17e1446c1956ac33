import type { States } from '../runtime/states/states';
import { stateBytes } from '../runtime/tensors';
import type { HiddenState } from '../runtime/tensors';
import { countTokens } from '../metrics/slices';

/** Name of the trajectory of the current model. */
export const mainTrajectory = 'main';

/** Hidden state, and the index of the next sublayer. */
export interface Boundary {
  readonly boundary: number;
  readonly state: HiddenState;
}

type Boundaries = Map<number, HiddenState>;

/** Share of the budget for final states, so that reading out more of the vocabulary needs no new run. */
export const finalShare = 1 / 8;

/**
 * Cache of hidden states at sublayer boundaries, by trajectory (the main one, and one per candidate) and calibration
 * sequence. Evicts states over budget; these are computed again when needed. Holds references to cached states.
 */
export class TrajectoryStore {
  private readonly trajectories = new Map<string, Map<number, Boundaries>>();
  private bytes = 0;

  /** @param last boundary of final states */
  public constructor(
    private readonly budgetBytes: number,
    private readonly states: Pick<States, 'hold' | 'release'>,
    private readonly last: number,
  ) {}

  public put(trajectory: string, sequence: number, at: Boundary): void {
    const size = stateBytes(at.state);
    const isMain = trajectory === mainTrajectory;
    if (isMain) {
      this.makeRoom(size);
    }
    const share = isMain || at.boundary === this.last ? 1 : 1 - finalShare;
    if (this.bytes + size > this.budgetBytes * share) {
      return;
    }
    const boundaries = this.boundaries(trajectory, sequence);
    const known = boundaries.get(at.boundary);
    if (known !== undefined && countTokens(known) > countTokens(at.state)) {
      return;
    }
    this.bytes += size - storedBytes(known);
    boundaries.set(at.boundary, this.states.hold(at.state));
    this.letGo(known);
  }

  /** Latest state at or before `atMost` with at least `tokens` tokens. */
  public nearest(
    trajectory: string,
    sequence: number,
    atMost: number,
    tokens = 0,
  ): Boundary | undefined {
    const boundaries = this.trajectories.get(trajectory)?.get(sequence);
    for (let boundary = atMost; boundaries !== undefined && boundary >= 0; boundary--) {
      const state = boundaries.get(boundary);
      if (state !== undefined && countTokens(state) >= tokens) {
        return { boundary, state };
      }
    }
    return undefined;
  }

  /** Removes states of `trajectory` after boundary `last`; all of them for −1. */
  public truncate(trajectory: string, last: number): void {
    for (const boundaries of this.trajectories.get(trajectory)?.values() ?? []) {
      for (const [boundary, state] of boundaries) {
        if (boundary > last) {
          boundaries.delete(boundary);
          this.bytes -= stateBytes(state);
          this.letGo(state);
        }
      }
    }
    if (last < 0) {
      this.trajectories.delete(trajectory);
    }
  }

  /** Moves the states of `trajectory` to the main trajectory. */
  public mergeIntoMain(trajectory: string): void {
    for (const [sequence, boundaries] of this.trajectories.get(trajectory) ?? []) {
      const main = this.boundaries(mainTrajectory, sequence);
      for (const [boundary, state] of boundaries) {
        const known = main.get(boundary);
        this.bytes -= storedBytes(known);
        main.set(boundary, state);
        this.letGo(known);
      }
    }
    this.trajectories.delete(trajectory);
  }

  /** Removes all trajectories except the main one. */
  public forgetCandidates(): void {
    for (const name of this.trajectories.keys()) {
      if (name !== mainTrajectory) {
        this.truncate(name, -1);
      }
    }
  }

  /** Removes all states. */
  public clear(): void {
    this.forgetCandidates();
    this.truncate(mainTrajectory, -1);
  }

  private letGo(state: HiddenState | undefined): void {
    if (state !== undefined) {
      this.states.release(state);
    }
  }

  /** Evicts candidates before the main trajectory, oldest first. */
  private makeRoom(size: number): void {
    for (const name of this.trajectories.keys()) {
      if (this.bytes + size <= this.budgetBytes) {
        return;
      }
      if (name !== mainTrajectory) {
        this.truncate(name, -1);
      }
    }
  }

  private boundaries(trajectory: string, sequence: number): Boundaries {
    const sequences = getOrInsert(
      this.trajectories,
      trajectory,
      () => new Map<number, Boundaries>(),
    );
    return getOrInsert(sequences, sequence, () => new Map<number, HiddenState>());
  }
}

function storedBytes(state: HiddenState | undefined): number {
  return state === undefined ? 0 : stateBytes(state);
}

function getOrInsert<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key);
  if (known !== undefined) {
    return known;
  }
  const made = make();
  map.set(key, made);
  return made;
}
