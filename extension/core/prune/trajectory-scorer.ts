import { checkpoint } from '../jobs/job';
import { stateBytes } from '../runtime/tensors';
import type { HiddenState } from '../runtime/tensors';
import type { Candidate } from './candidates';
import { createReadout } from '../metrics/metric-readout';
import type { MetricReadout } from '../metrics/metric-readout';
import { meanRows, sequenceOf } from './scorer';
import type { OriginalStates, Scorer, ScorerSetup, SublayerObserver } from './scorer';
import type { TermRecord } from './term-memo';
import { mainTrajectory, TrajectoryStore } from './trajectory-store';
import type { Boundary } from './trajectory-store';

/** One trajectory on its way through the layers. */
interface Walker {
  readonly trajectory: string;
  readonly sequence: number;
  /** Units that its model lacks. */
  readonly skip: ReadonlySet<number>;
  boundary: number;
  state: HiddenState;
}

/** Candidates that share the original's logits and a walk through the layers. */
const sharedPass = 4;
/** Share of the memory for states that one pass may hold in flight; the rest stores trajectories. */
const inFlightShare = 0.25;

/**
 * Measures with as little work as gives the naive numbers. Removing sublayer l changes nothing before
 * l, so a candidate starts from the main trajectory's state there, or from its own of an earlier
 * round where that still holds; all candidates in flight go through a sublayer together.
 */
export class TrajectoryScorer implements Scorer {
  public readonly removed = new Set<number>();
  private readonly store: TrajectoryStore;
  private readonly readout: MetricReadout;
  private readonly count: number;
  private original: OriginalStates = [];

  /** All where sessions are streamed, since each pass loads the model; else enough to share work. */
  public get candidatesPerPass(): number {
    return this.setup.executor.keepsSessions ? sharedPass : Number.POSITIVE_INFINITY;
  }

  public constructor(private readonly setup: ScorerSetup) {
    const { executor, metricName, metric } = setup;
    this.count = executor.model.summary.sublayers.length;
    this.store = new TrajectoryStore(executor.stateBytes * (1 - inFlightShare));
    this.readout = createReadout(executor, metricName, metric);
  }

  public async start(observe?: SublayerObserver): Promise<OriginalStates> {
    const end = new Set([this.count]);
    const exits = new Map(this.setup.sequences.map((_, i) => [i, end]));
    const final = await this.mainStates(exits, observe);
    const original = [...final.values()].map((states) => states.get(this.count)?.state ?? lost());
    this.startFrom(original);
    return original;
  }

  public startFrom(original: OriginalStates): void {
    this.original = original;
  }

  public async rowsPerSequence(): Promise<number> {
    return meanRows(this.readout, this.setup, this.original);
  }

  public async terms(
    step: string,
    candidates: readonly Candidate[],
    sequences: readonly number[],
  ): Promise<number[][]> {
    const wanted = sequences.flatMap((sequence) =>
      candidates
        .filter((candidate) => this.setup.memo.get(step, candidate.id, sequence) === undefined)
        .map((candidate) => ({ candidate, sequence })),
    );
    const [state] = this.original;
    const inFlightBytes = this.setup.executor.stateBytes * inFlightShare;
    const perPass = Math.max(
      1,
      Math.floor(inFlightBytes / (state === undefined ? 1 : stateBytes(state))),
    );
    for (let start = 0; start < wanted.length; start += perPass) {
      await this.measure(step, wanted.slice(start, start + perPass));
    }
    return candidates.map(({ id }) =>
      sequences.map((sequence) => this.setup.memo.get(step, id, sequence) ?? Number.NaN),
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

  private readonly pause = async (): Promise<void> => {
    this.setup.onWork();
    await checkpoint(this.setup.cancellation);
  };

  private async measure(
    step: string,
    wanted: readonly { candidate: Candidate; sequence: number }[],
  ): Promise<void> {
    const starts = await this.startingPoints(wanted);
    const walkers = wanted.map(({ candidate, sequence }, i) => ({
      trajectory: candidate.id,
      sequence,
      skip: new Set([...this.removed, ...candidate.members]),
      ...(starts[i] ?? lost()),
    }));
    await this.advance(walkers, this.count);
    const records: TermRecord[] = [];
    for (const sequence of new Set(walkers.map((walker) => walker.sequence))) {
      const group = walkers.filter((walker) => walker.sequence === sequence);
      const terms = await this.readout.terms(
        sequenceOf(this.setup, sequence),
        this.original[sequence] ?? lost(),
        group.map((walker) => walker.state),
      );
      group.forEach(({ trajectory }, i) => {
        records.push({ step, candidate: trajectory, sequence, term: terms[i] ?? Number.NaN });
      });
      await checkpoint(this.setup.cancellation);
    }
    await this.setup.memo.add(records);
  }

  /** Where each wanted candidate can start: on its own trajectory, or where it leaves the main one. */
  private async startingPoints(
    wanted: readonly { candidate: Candidate; sequence: number }[],
  ): Promise<Boundary[]> {
    const own = wanted.map(({ candidate, sequence }) =>
      this.store.nearest(candidate.id, sequence, this.count),
    );
    const exits = new Map<number, Set<number>>();
    wanted.forEach(({ candidate, sequence }, i) => {
      if (own[i] === undefined) {
        const boundaries = exits.get(sequence) ?? new Set();
        exits.set(sequence, boundaries.add(candidate.first));
      }
    });
    const main = await this.mainStates(exits);
    return wanted.map(
      ({ candidate, sequence }, i) => own[i] ?? main.get(sequence)?.get(candidate.first) ?? lost(),
    );
  }

  /** States of the main trajectory at the given boundaries, by sequence. */
  private async mainStates(
    exits: ReadonlyMap<number, ReadonlySet<number>>,
    observe?: SublayerObserver,
  ): Promise<Map<number, Map<number, Boundary>>> {
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
        const from = await this.mainAtMost(sequence, lowest);
        walkers.push({ trajectory: mainTrajectory, sequence, skip: this.removed, ...from });
      }
    }
    const last = Math.max(0, ...[...exits.values()].flatMap((boundaries) => [...boundaries]));
    const visit = ({ sequence, boundary, state }: Walker): void => {
      if (exits.get(sequence)?.has(boundary) === true) {
        found.get(sequence)?.set(boundary, { boundary, state });
      }
    };
    await this.advance(walkers, last, visit, observe);
    return found;
  }

  /** The main trajectory's state at `boundary`, if only removed sublayers lie since the one kept. */
  private resting(sequence: number, boundary: number): Boundary | undefined {
    const nearest = this.store.nearest(mainTrajectory, sequence, boundary);
    let state = nearest?.state;
    for (let index = nearest?.boundary ?? boundary; index < boundary; index++) {
      if (state === undefined || !this.removed.has(index)) {
        return undefined;
      }
      state = this.setup.executor.skipFreely(index, state);
    }
    return state === undefined ? undefined : { boundary, state };
  }

  private async mainAtMost(sequence: number, boundary: number): Promise<Boundary> {
    const nearest = this.store.nearest(mainTrajectory, sequence, boundary);
    if (nearest !== undefined) {
      return nearest;
    }
    const input = sequenceOf(this.setup, sequence);
    const start = { boundary: 0, state: await this.setup.executor.embed(input) };
    this.store.put(mainTrajectory, sequence, start);
    return start;
  }

  /** Takes walkers through the layers up to boundary `end`, each sublayer once for all of them. */
  private async advance(
    walkers: readonly Walker[],
    end: number,
    visit: (walker: Walker) => void = () => undefined,
    observe: SublayerObserver = () => undefined,
  ): Promise<void> {
    walkers.forEach(visit);
    for (let index = 0; index < end; index++) {
      const here = walkers.filter((walker) => walker.boundary === index);
      const moving = here.filter((walker) => !walker.skip.has(index));
      const resting = here.filter((walker) => walker.skip.has(index));
      const { executor } = this.setup;
      const statesOf = (walkers: readonly Walker[]): HiddenState[] =>
        walkers.map(({ state }) => state);
      const without = moving.map(({ skip }) => executor.units.expertsGone(index, skip));
      const states = await executor.run(index, statesOf(moving), this.pause, without);
      const passed = await executor.skip(index, statesOf(resting), this.pause);
      for (const walker of here) {
        walker.boundary = index + 1;
      }
      resting.forEach((walker, i) => {
        walker.state = passed[i] ?? lost();
      });
      moving.forEach((walker, i) => {
        const next = states[i] ?? lost();
        observe(index, walker.state, next);
        walker.state = next;
        this.store.put(walker.trajectory, walker.sequence, walker);
      });
      here.forEach(visit);
    }
  }
}

function lost(): never {
  throw new Error('a trajectory has no state to start from');
}
