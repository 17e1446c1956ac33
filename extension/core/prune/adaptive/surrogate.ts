import { checkpoint } from '../../jobs/job';
import { createReadout } from '../../metrics/metric-readout';
import type { MetricReadout } from '../../metrics/row-readout';
import type { ModelInput } from '../../models/model-input';
import { floatsIn, floatTensorLike, isFloat } from '../../runtime/tensors';
import type { HiddenState, Tensors } from '../../runtime/tensors';
import type { Candidate } from '../candidates';
import { sequenceInput, tokensIn } from '../scorer';
import type { ScorerSetup } from '../scorer';
import { Prefixes, prefixTokens } from '../../metrics/slices';
import type { Slice } from '../../metrics/slices';
import { walkThrough } from '../trajectory-scorer';

/** Last measured change of the final state by a candidate's removal, and the model it was measured on. */
interface Change {
  readonly candidate: Candidate;
  readonly removed: ReadonlySet<number>;
  /** Undefined after replaying a journal; computed when needed. */
  readonly values: Numbers | undefined;
}

/** Floating-point values of a state, by name. */
type Numbers = Readonly<Record<string, Float32Array>>;

/** Maximum number of models run together. */
const statesAtOnce = 16;
/**
 * Predicts distances without running sublayers. Changes of the final state are nearly additive: ĥ(S) ≈ h + Σ δᵢ with δᵢ
 * = h(R ∪ i) − h(R), where R was removed when i was last measured. A distance then only costs an LM head on the rows of
 * one slice. Predictions start from the known final state of the current model.
 */
export class Surrogate {
  private readonly changes = new Map<string, Change>();
  private readonly states = new Map<string, HiddenState>();
  private removed: ReadonlySet<number> = new Set();

  private constructor(
    private readonly setup: ScorerSetup,
    private readonly slice: Slice,
    private readonly readout: MetricReadout,
    private readonly original: HiddenState,
  ) {
    this.states.set(removalKey(this.removed), original);
  }

  /**
   * Creates a surrogate.
   * @param slice its rows, from the first row of a sequence
   * @param original final state of the original for the slice's sequence
   */
  public static async start(
    setup: ScorerSetup,
    slice: Slice,
    original: HiddenState,
  ): Promise<Surrogate> {
    const { executor, metricName, metric } = setup;
    const state = await new Prefixes(executor).cut(
      sequenceInput(setup, slice.sequence),
      original,
      slice.to,
    );
    const readout = createReadout(executor, metricName, metric, { vocabulary: 'sampled' });
    return new Surrogate(setup, slice, readout, state);
  }

  /**
   * Learns from a measurement on top of the current removals.
   * @param final undefined if only the journal has the measurement
   */
  public learn(candidate: Candidate, final: HiddenState | undefined): void {
    const { removed } = this;
    const base = this.states.get(removalKey(removed));
    if (final !== undefined) {
      this.states.set(removalKey(without(removed, candidate)), final);
    }
    const isKnown = this.changes.get(candidate.id)?.removed === removed;
    if (final !== undefined || !isKnown) {
      const values =
        final === undefined || base === undefined ? undefined : differences(final, base);
      this.changes.set(candidate.id, { candidate, removed, values });
    }
  }

  /** Removes a measured candidate from the current model. */
  public commit(candidate: Candidate): void {
    this.removed = without(this.removed, candidate);
    const key = removalKey(this.removed);
    for (const known of this.states.keys()) {
      if (known !== key) {
        this.states.delete(known);
      }
    }
  }

  /** Rounds since a candidate was measured, 1 if before the last removal. */
  public age({ id }: Candidate): number {
    const then = this.changes.get(id)?.removed.size ?? -1;
    return this.removed.size - then;
  }

  /** Predicted distances after removing each candidate in addition to the current removals. */
  public async distances(candidates: readonly Candidate[]): Promise<number[]> {
    await this.complete(candidates);
    return this.distancesFrom(this.base, candidates);
  }

  /** Frees the readout's cache. */
  public end(): void {
    this.readout.end();
  }

  private get rows(): number {
    return this.slice.to - this.slice.from;
  }

  private readonly pause = async (): Promise<void> => {
    this.setup.onWork();
    await checkpoint(this.setup.cancellation);
  };

  /** Final state of the current model, once known. */
  private get base(): HiddenState {
    return this.states.get(removalKey(this.removed)) ?? unknown();
  }

  /** Predicted distances of models with this final state after removing each candidate. */
  private async distancesFrom(
    base: HiddenState,
    candidates: readonly Candidate[],
  ): Promise<number[]> {
    const { metric } = this.setup;
    const sums: number[] = [];
    for (let start = 0; start < candidates.length; start += statesAtOnce) {
      const group = candidates.slice(start, start + statesAtOnce);
      const terms = await this.readout.rowTerms(
        sliceInput(this.setup, this.slice),
        this.original,
        group.map((candidate) => this.stateWithout(base, candidate)),
        undefined,
        this.pause,
      );
      sums.push(...terms.map((rows) => rows.reduce((sum, term) => sum + term, 0)));
    }
    return sums.map((sum) => metric.distance(metric.sequenceTerm(sum), 1, this.rows));
  }

  /** Final state with a candidate's change applied. */
  private stateWithout(base: HiddenState, { id }: Candidate): HiddenState {
    const changes = this.changes.get(id)?.values ?? unknown();
    const values = Object.entries(base.values).map(([name, tensor]) => {
      const { [name]: change } = changes;
      const sum =
        isFloat(tensor) && change !== undefined
          ? floatTensorLike(tensor, addArrays(floatsIn(tensor), change))
          : tensor;
      return [name, sum] as const;
    });
    return { values: Object.fromEntries(values), side: base.side };
  }

  /** Computes changes for which a journal has no values. */
  private async complete(candidates: readonly Candidate[]): Promise<void> {
    const missing = [...new Set(candidates)].flatMap((candidate) => {
      const change = this.changes.get(candidate.id);
      return change === undefined || change.values !== undefined ? [] : [change];
    });
    const wanted = new Map<string, ReadonlySet<number>>([[removalKey(this.removed), this.removed]]);
    for (const { candidate, removed } of missing) {
      wanted.set(removalKey(removed), removed);
      const removedUnits = without(removed, candidate);
      wanted.set(removalKey(removedUnits), removedUnits);
    }
    for (const key of this.states.keys()) {
      wanted.delete(key);
    }
    const found = await this.run([...wanted.values()]);
    const knownState = (removed: ReadonlySet<number>): HiddenState =>
      this.states.get(removalKey(removed)) ?? found.get(removalKey(removed)) ?? unknown();
    for (const change of missing) {
      const { candidate, removed } = change;
      const values = differences(knownState(without(removed, candidate)), knownState(removed));
      this.changes.set(candidate.id, { ...change, values });
    }
    const current = removalKey(this.removed);
    const base = found.get(current);
    if (base !== undefined) {
      this.states.set(current, base);
    }
  }

  /** Final states of models without the given units, by key. */
  private async run(models: readonly ReadonlySet<number>[]): Promise<Map<string, HiddenState>> {
    const { executor, work } = this.setup;
    const { length } = executor.model.summary.sublayers;
    const whole = tokensIn(this.setup, this.slice.sequence);
    const share = whole === 0 ? 1 : this.slice.to / whole;
    const found = new Map<string, HiddenState>();
    if (models.length === 0) {
      return found;
    }
    const embedded = await executor.embed(sliceInput(this.setup, this.slice));
    const start = await executor.states.toDevice(embedded);
    let states = models.map(() => executor.states.hold(start));
    executor.states.release(start);
    try {
      for (let index = 0; index < length; index++) {
        const before = states;
        states = await walkThrough(executor, index, before, models, this.pause);
        executor.states.release(...before);
        work.addSublayers(share * models.filter((removed) => !removed.has(index)).length);
      }
      for (const [i, removed] of models.entries()) {
        found.set(removalKey(removed), await executor.states.toHost(states[i] ?? unknown()));
      }
      return found;
    } finally {
      executor.states.release(...states);
    }
  }
}

/** Part of a sequence that a slice needs. */
function sliceInput(setup: ScorerSetup, { sequence, to }: Slice): ModelInput {
  const input = sequenceInput(setup, sequence);
  const hasParts = prefixTokens(setup.executor.model, input) > 0;
  return hasParts && input instanceof Int32Array ? input.slice(0, to) : input;
}

function without(removed: ReadonlySet<number>, { members }: Candidate): ReadonlySet<number> {
  return new Set([...removed, ...members]);
}

function removalKey(removed: ReadonlySet<number>): string {
  return [...removed].sort((a, b) => a - b).join();
}

function addArrays(a: Float32Array, b: Float32Array): Float32Array {
  return a.map((number, i) => number + (b[i] ?? 0));
}

function differences(changed: HiddenState, base: HiddenState): Numbers {
  return Object.fromEntries(
    floatsByName(changed.values).map(([name, numbers]) => {
      const before = floatsByName(base.values).find(([other]) => other === name)?.[1];
      return [name, numbers.map((number, i) => number - (before?.[i] ?? 0))];
    }),
  );
}

function floatsByName(values: Tensors): [string, Float32Array][] {
  return Object.entries(values).flatMap(([name, tensor]) =>
    isFloat(tensor) ? [[name, floatsIn(tensor)] as [string, Float32Array]] : [],
  );
}

function unknown(): never {
  throw new Error('the surrogate knows nothing of a candidate that it is asked for');
}
