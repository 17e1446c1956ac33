import { describe, expect, it } from 'vitest';
import { mainTrajectory, TrajectoryStore } from '../../../extension/core/prune/trajectory-store';
import { floatTensor, stateBytes } from '../../../extension/core/runtime/tensors';
import type { HiddenState } from '../../../extension/core/runtime/tensors';

const last = 40;

function makeState(tokens = 4): HiddenState {
  return { values: { h: floatTensor(new Float32Array(tokens * 8), [1, tokens, 8]) }, side: {} };
}

/** Store with room for `count` states, which counts those in use. */
function storeFor(count: number): {
  readonly store: TrajectoryStore;
  readonly retained: () => number;
} {
  let retained = 0;
  const states = {
    hold: (state: HiddenState) => {
      retained++;
      return state;
    },
    release: (...gone: readonly HiddenState[]) => {
      retained -= gone.length;
    },
  };
  const store = new TrajectoryStore(count * stateBytes(makeState()), states, last);
  return { store, retained: () => retained };
}

describe('states of trajectories', () => {
  it('keep room for final ones, which is all that is left when others have filled theirs', () => {
    const { store, retained: held } = storeFor(16);
    for (let boundary = 1; boundary < last; boundary++) {
      store.put('a', 0, { boundary, state: makeState() });
    }
    expect(held()).toBe(14);
    for (const sequence of [0, 1, 2]) {
      store.put('b', sequence, { boundary: last, state: makeState() });
    }
    expect([0, 1, 2].map((sequence) => store.nearest('b', sequence, last)?.boundary)).toEqual([
      last,
      last,
      undefined,
    ]);
  });

  it('are evicted in favor of the main trajectory', () => {
    const { store, retained: held } = storeFor(8);
    for (let boundary = 1; boundary <= 8; boundary++) {
      store.put('a', 0, { boundary, state: makeState() });
    }
    for (let boundary = 1; boundary <= 8; boundary++) {
      store.put(mainTrajectory, 0, { boundary, state: makeState() });
    }
    expect(store.nearest('a', 0, last)).toBeUndefined();
    expect(store.nearest(mainTrajectory, 0, last)?.boundary).toBe(8);
    expect(held()).toBe(8);
    store.clear();
    expect(held()).toBe(0);
  });
});
