import { checkpoint } from '../jobs/job';
import { stateBytesPerToken } from '../runtime/memory-shares';
import { activeShare, countFitting } from '../runtime/states/batches';
import { stateBytes } from '../runtime/tensors';
import type { HiddenState } from '../runtime/tensors';
import { countPositions } from '../runtime/windows';
import type { Candidate } from './candidates';
import { createReadouts } from '../metrics/metric-readout';
import type { MetricReadout } from '../metrics/row-readout';
import { sequenceInput, tokensIn } from './scorer';
import type {
  FinalObserver,
  OriginalObserver,
  OriginalStates,
  Scorer,
  ScorerSetup,
  SublayerObserver,
} from './scorer';
import type { Vocabulary } from '../metrics/vocabulary';
import { blockTerms, Prefixes } from '../metrics/slices';
import type { BlockTerms, Slice } from '../metrics/slices';
import { mainTrajectory, TrajectoryStore } from './trajectory-store';
import type { Boundary } from './trajectory-store';
import { walkThrough } from './walk';

/** Candidate to measure on a slice. */
interface Wanted {
  readonly candidate: Candidate;
  readonly slice: Slice;
}

/** Trajectory that is being advanced through the layers. */
interface Walker {
  readonly trajectory: string;
  readonly sequence: number;
  /** Share of the sequence in the state. */
  readonly share: number;
  /** Units that its model skips. */
  readonly skip: ReadonlySet<number>;
  boundary: number;
  state: HiddenState;
}

/** Number of candidates that share the original's logits and a pass through the layers. */
const sharedPass = 4;
/** Number of candidates per pass on a device, which runs more rows at a time. */
const sharedDevicePass = 32;
/**
 * Computes the same distances as the naive scorer with minimal work. Removing sublayer l changes nothing before l, so a
 * candidate starts from the main trajectory's state there, or from its own cached state of an earlier round if still
 * valid. All candidates of a pass go through a sublayer together.
 */
export class TrajectoryScorer implements Scorer {
  public readonly removed = new Set<number>();
  public readonly hasBounds: boolean;
  private readonly store: TrajectoryStore;
  private readonly readouts: Readonly<Record<Vocabulary, MetricReadout>>;
  private readonly count: number;
  private readonly prefixes: Prefixes;
  private readonly original = new Map<number, HiddenState>();

  /** All candidates if sessions are streamed, since each pass loads the model; otherwise enough to share work. */
  public get candidatesPerPass(): number {
    const { keepsSessions, states } = this.setup.executor;
    return keepsSessions ? (states.stay ? sharedDevicePass : sharedPass) : Number.POSITIVE_INFINITY;
  }

  /** @param onFinal called with the final state of every candidate that is run */
  public constructor(
    private readonly setup: ScorerSetup,
    private readonly onFinal: FinalObserver = () => Promise.resolve(),
  ) {
    const { executor, metricName, metric } = setup;
    this.count = executor.model.summary.sublayers.length;
    const storedBytes = executor.shares.stateBytes * (1 - activeShare);
    this.store = new TrajectoryStore(storedBytes, executor.states, this.count);
    this.readouts = createReadouts(executor, metricName, metric);
    this.hasBounds = this.readouts.bounded.vocabulary === 'bounded';
    this.prefixes = new Prefixes(executor);
  }

  public async start(
    sequences: readonly number[],
    observer?: OriginalObserver,
  ): Promise<OriginalStates> {
    const end = new Set([this.count]);
    const { states, shares, model } = this.setup.executor;
    const tokens = sequences.map((sequence) => countPositions(sequenceInput(this.setup, sequence)));
    const bytes = Math.max(0, ...tokens) * stateBytesPerToken(model);
    // In main memory, all final states stay allocated.
    const perPass = states.stay ? countFitting(shares, activeShare, bytes) : sequences.length;
    for (let start = 0; start < sequences.length; start += perPass) {
      const exits = new Map(sequences.slice(start, start + perPass).map((one) => [one, end]));
      const found = await this.mainStates(exits, observer?.observe);
      try {
        for (const [sequence, at] of found) {
          this.original.set(sequence, await states.toHost(at.get(this.count)?.state ?? lost()));
        }
      } finally {
        states.release(...statesIn(found));
      }
    }
    return this.original;
  }

  public startFrom(original: OriginalStates): void {
    original.forEach((state, sequence) => this.original.set(sequence, state));
  }

  public async rows(sequence: number): Promise<number> {
    const tokens = tokensIn(this.setup, sequence);
    const [input, original] = [sequenceInput(this.setup, sequence), this.original.get(sequence)];
    return tokens > 0 ? tokens : this.readouts.whole.rows(input, original ?? lost());
  }

  public async terms(
    step: string,
    candidates: readonly Candidate[],
    slices: readonly Slice[],
    asked: Vocabulary,
  ): Promise<BlockTerms[][]> {
    const { memo, executor } = this.setup;
    const { vocabulary } = this.readouts[asked];
    const wanted = slices.map((slice) =>
      candidates
        .filter(({ id }) => memo.get(step, id, vocabulary, slice) === undefined)
        .map((candidate) => ({ candidate, slice })),
    );
    const [state] = this.original.values();
    const bytes = state === undefined ? 1 : stateBytes(state);
    const perPass = countFitting(executor.shares, activeShare, bytes);
    // Slices are journaled as they end, except for streamed sessions, where each pass loads the model.
    for (const group of executor.keepsSessions ? wanted : [wanted.flat()]) {
      for (let start = 0; start < group.length; start += perPass) {
        await this.measure(step, group.slice(start, start + perPass), vocabulary);
      }
    }
    return candidates.map(({ id }) =>
      slices.map((slice) => memo.get(step, id, vocabulary, slice) ?? [Number.NaN]),
    );
  }

  public commit(candidate: Candidate, others: readonly Candidate[]): void {
    const { first } = candidate;
    this.store.truncate(mainTrajectory, first);
    this.store.mergeIntoMain(candidate.id);
    for (const other of others) {
      this.store.truncate(other.id, other.first < first ? first : -1);
    }
    for (const member of candidate.members) {
      this.removed.add(member);
    }
  }

  public forget(): void {
    this.store.forgetCandidates();
  }

  public end(): void {
    this.store.clear();
    Object.values(this.readouts).forEach((readout) => {
      readout.end();
    });
  }

  private readonly pause = async (): Promise<void> => {
    this.setup.onWork();
    await checkpoint(this.setup.cancellation);
  };

  private async measure(
    step: string,
    wanted: readonly Wanted[],
    vocabulary: Vocabulary,
  ): Promise<void> {
    const starts = await this.startingPoints(wanted);
    const walkers = wanted.map(({ candidate, slice }, i) => ({
      slice,
      trajectory: candidate.id,
      sequence: slice.sequence,
      share: this.sequenceShare(slice, 0),
      skip: new Set([...this.removed, ...candidate.members]),
      ...(starts[i] ?? lost()),
    }));
    try {
      await this.advance(walkers, this.count);
      for (const [i, { candidate, slice }] of wanted.entries()) {
        await this.onFinal(candidate, slice, walkers[i]?.state ?? lost());
      }
      await this.readOut(step, walkers, vocabulary);
    } finally {
      this.setup.executor.states.release(...walkers.map(({ state }) => state));
    }
  }

  /** Measures final states, slice by slice. */
  private async readOut(
    step: string,
    walkers: readonly (Walker & Pick<Wanted, 'slice'>)[],
    vocabulary: Vocabulary,
  ): Promise<void> {
    const { memo, work } = this.setup;
    for (const slice of new Set(walkers.map((walker) => walker.slice))) {
      const group = walkers.filter((walker) => walker.slice === slice);
      const found = await this.readouts[vocabulary].rowTerms(
        sequenceInput(this.setup, slice.sequence),
        this.original.get(slice.sequence) ?? lost(),
        group.map((walker) => walker.state),
        slice,
        this.pause,
      );
      work.addReadouts(group.length * this.sequenceShare(slice), vocabulary);
      await memo.add(
        group.map(({ trajectory }, i) => ({
          kind: 'term',
          step,
          candidate: trajectory,
          vocabulary,
          ...slice,
          terms: blockTerms(found[i] ?? lost()),
        })),
      );
      await this.pause();
    }
  }

  /** Share of a sequence in a slice, by default from the slice's first row. */
  private sequenceShare({ sequence, from, to }: Slice, start = from): number {
    const tokens = tokensIn(this.setup, sequence);
    return tokens === 0 ? 1 : (to - start) / tokens;
  }

  /**
   * Starting state of each candidate: on its own trajectory, or at the branch from the main one. The caller must
   * release the states.
   */
  private async startingPoints(wanted: readonly Wanted[]): Promise<Boundary[]> {
    const { states } = this.setup.executor;
    // Held, because the store may evict states while the main trajectory is computed.
    const own = wanted.map(({ candidate, slice }) =>
      this.holdState(
        this.store.nearest(
          candidate.id,
          slice.sequence,
          this.count,
          Math.min(slice.to, tokensIn(this.setup, slice.sequence)),
        ),
      ),
    );
    const exits = new Map<number, Set<number>>();
    wanted.forEach(({ candidate, slice: { sequence } }, i) => {
      if (own[i] === undefined) {
        const boundaries = exits.get(sequence) ?? new Set();
        exits.set(sequence, boundaries.add(candidate.first));
      }
    });
    let main = new Map<number, Map<number, Boundary>>();
    try {
      main = await this.mainStates(exits);
      const starts: Boundary[] = [];
      for (const [i, { candidate, slice }] of wanted.entries()) {
        const from = own[i] ?? main.get(slice.sequence)?.get(candidate.first) ?? lost();
        const input = sequenceInput(this.setup, slice.sequence);
        const state = await this.prefixes.cut(input, from.state, slice.to);
        starts.push({ ...from, state: states.hold(state) });
      }
      return starts;
    } finally {
      states.release(...own.flatMap((at) => at?.state ?? []), ...statesIn(main));
    }
  }

  /** States of the main trajectory at the given boundaries, by sequence. The caller must release the states. */
  private async mainStates(
    exits: ReadonlyMap<number, ReadonlySet<number>>,
    observe?: SublayerObserver,
  ): Promise<Map<number, Map<number, Boundary>>> {
    const { states } = this.setup.executor;
    const found = new Map<number, Map<number, Boundary>>();
    const walkers: Walker[] = [];
    for (const [sequence, boundaries] of exits) {
      const known = new Map<number, Boundary>();
      found.set(sequence, known);
      const missing = [...boundaries]
        .filter((boundary) => {
          const at = this.resting(sequence, boundary);
          if (at !== undefined) {
            known.set(boundary, at);
          }
          return at === undefined;
        })
        .sort((a, b) => a - b);
      const [lowest] = missing;
      if (lowest !== undefined) {
        walkers.push({
          ...{ trajectory: mainTrajectory, sequence, share: 1, skip: this.removed },
          ...(await this.mainAtMost(sequence, lowest)),
        });
      }
    }
    const last = Math.max(0, ...[...exits.values()].flatMap((boundaries) => [...boundaries]));
    const visit = ({ sequence, boundary, state }: Walker): void => {
      const known = found.get(sequence);
      // The starting state may already be known and must be held only once.
      if (exits.get(sequence)?.has(boundary) === true && known?.has(boundary) === false) {
        known.set(boundary, { boundary, state: states.hold(state) });
      }
    };
    try {
      await this.advance(walkers, last, visit, observe);
    } catch (error) {
      states.release(...statesIn(found));
      throw error;
    } finally {
      states.release(...walkers.map(({ state }) => state));
    }
    return found;
  }

  private holdState(at: Boundary | undefined): Boundary | undefined {
    return at && { ...at, state: this.setup.executor.states.hold(at.state) };
  }

  /**
   * State of the main trajectory at `boundary`, if only removed sublayers follow the cached one. The caller must
   * release it.
   */
  private resting(sequence: number, boundary: number): Boundary | undefined {
    const { executor } = this.setup;
    const nearest = this.nearestMain(sequence, boundary);
    let state = nearest?.state;
    for (let index = nearest?.boundary ?? boundary; index < boundary; index++) {
      if (state === undefined || !this.removed.has(index)) {
        return undefined;
      }
      state = executor.skipFreely(index, state);
    }
    return this.holdState(state && { boundary, state });
  }

  /** Nearest cached state of the main trajectory with the whole sequence; those of a winner may cover only a part. */
  private nearestMain(sequence: number, boundary: number): Boundary | undefined {
    return this.store.nearest(mainTrajectory, sequence, boundary, tokensIn(this.setup, sequence));
  }

  private async mainAtMost(sequence: number, boundary: number): Promise<Boundary> {
    const nearest = this.holdState(this.nearestMain(sequence, boundary));
    if (nearest !== undefined) {
      return nearest;
    }
    const { executor } = this.setup;
    const embedded = await executor.embed(sequenceInput(this.setup, sequence));
    const start = { boundary: 0, state: await executor.states.toDevice(embedded) };
    this.store.put(mainTrajectory, sequence, start);
    return start;
  }

  /** Advances trajectories through the layers up to boundary `end`, running each sublayer once for all of them. */
  private async advance(
    walkers: readonly Walker[],
    end: number,
    visit: (walker: Walker) => void = () => undefined,
    observe: SublayerObserver = () => Promise.resolve(),
  ): Promise<void> {
    walkers.forEach(visit);
    for (let index = 0; index < end; index++) {
      const here = walkers.filter((walker) => walker.boundary === index);
      const { executor, work } = this.setup;
      const states = await walkThrough(
        executor,
        index,
        here.map(({ state }) => state),
        here.map(({ skip }) => skip),
        this.pause,
      );
      for (const [i, walker] of here.entries()) {
        const next = states[i] ?? lost();
        if (!walker.skip.has(index)) {
          work.addSublayers(walker.share);
          await observe(index, walker.state, next);
          this.store.put(walker.trajectory, walker.sequence, {
            boundary: index + 1,
            state: next,
          });
        }
        walker.boundary = index + 1;
        executor.states.release(walker.state);
        walker.state = next;
      }
      here.forEach(visit);
    }
  }
}

const statesIn = (found: ReadonlyMap<number, ReadonlyMap<number, Boundary>>): HiddenState[] =>
  [...found.values()].flatMap((at) => [...at.values()].map(({ state }) => state));

function lost(): never {
  throw new Error('a trajectory has no state to start from');
}
