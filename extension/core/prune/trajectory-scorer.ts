import { checkpoint } from '../jobs/job';
import { stateBytesPerToken } from '../runtime/memory-shares';
import { activeShare, countFitting, streamedActiveShare } from '../runtime/states/batches';
import { stateBytes } from '../runtime/tensors';
import type { HiddenState } from '../runtime/tensors';
import { countPositions } from '../runtime/windows';
import type { Candidate } from './candidates';
import { createReadouts } from '../metrics/metric-readout';
import type { MetricReadout, AfterRun } from '../metrics/row-readout';
import { sequenceInput, tokensIn } from './scorer';
import type {
  FinalObserver,
  FirstMeasurement,
  OriginalObserver,
  OriginalStates,
  Scorer,
  ScorerSetup,
  SublayerObserver,
} from './scorer';
import type { Vocabulary } from '../metrics/vocabulary-sums';
import { sumTermsByBlock, Prefixes } from '../metrics/slices';
import type { BlockTerms, Slice } from '../metrics/slices';
import { mainTrajectory, TrajectoryStore } from './trajectory-store';
import type { Boundary } from './trajectory-store';
import type { ModelSummary } from '../models/model-summary';
import type { LayeredExecutor } from '../runtime/layered-executor';

/** Candidate to measure on slices of one sequence. */
interface Wanted {
  readonly candidate: Candidate;
  readonly sequence: number;
  readonly slices: Slice[];
}

/** Trajectory that is being advanced through the layers. */
interface Walker {
  readonly trajectory: string;
  readonly sequence: number;
  /** Share of the sequence in the state. */
  readonly share: number;
  /** Units that its model skips. */
  readonly skip: ReadonlySet<number>;
  /** Boundary at which it stops. */
  readonly end: number;
  boundary: number;
  state: HiddenState;
}

/** Trajectory of the model without removals, which is not stored. */
const originalTrajectory = 'original';

/** Number of candidates that share the original's logits and a pass through the layers. */
const sharedPass = 4;
/** Tokens through the layers that take about as long as opening the sessions of a pass. Measured on Qwen2.5-Coder-0.5B in int8. */
const tokensPerOpening = 512;
/** Number of candidates per pass on a device, which runs more rows at a time. */
const sharedDevicePass = 32;

/**
 * Runs states through sublayer `index`, each with its own removed units.
 * @param skips removed units of each state's model
 */
export async function walkThrough(
  executor: LayeredExecutor,
  index: number,
  states: readonly HiddenState[],
  skips: readonly ReadonlySet<number>[],
  afterRun: AfterRun,
): Promise<HiddenState[]> {
  const isMoving = skips.map((skip) => !skip.has(index));
  const without = skips
    .filter((_, i) => isMoving[i])
    .map((skip) => executor.units.expertsGone(index, skip));
  const moving = states.filter((_, i) => isMoving[i]);
  const moved = await executor.run(index, moving, afterRun, without);
  const resting = states.filter((_, i) => isMoving[i] !== true);
  const rested = await executor.skip(index, resting, afterRun).catch((error: unknown) => {
    executor.states.release(...moved);
    throw error;
  });
  const [nextMoved, nextRested] = [moved.values(), rested.values()];
  return isMoving.map((moves) => {
    const { value } = (moves ? nextMoved : nextRested).next();
    if (value === undefined) {
      throw new Error(`sublayer ${index} gave fewer states than it took`);
    }
    return value;
  });
}

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
  /** Slices whose rows of the original have been read over the whole vocabulary, also to choose a part of it. */
  private readonly originalsRead = new Set<string>();

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
    const active = executor.keepsSessions ? activeShare : streamedActiveShare;
    const storedBytes = executor.shares.stateBytes * (1 - active);
    this.store = new TrajectoryStore(storedBytes, executor.states, this.count);
    this.readouts = createReadouts(executor, metricName, metric);
    this.hasBounds = this.readouts.bounded.vocabulary === 'bounded';
    this.prefixes = new Prefixes(executor);
  }

  public async start(
    sequences: readonly number[],
    observer?: OriginalObserver,
    first?: FirstMeasurement,
  ): Promise<OriginalStates> {
    const { states, shares, keepsSessions } = this.setup.executor;
    const bytes = Math.max(0, ...sequences.map((sequence) => this.finalBytes(sequence)));
    // In main memory, all final states stay allocated.
    const perPass = states.stay ? countFitting(shares, activeShare, bytes) : sequences.length;
    for (let start = 0; start < sequences.length; start += perPass) {
      const group = sequences.slice(start, start + perPass);
      const fused = first === undefined || keepsSessions ? [] : this.wantedFirst(first, group);
      const { step = '', vocabulary = 'whole' } = first ?? {};
      await this.measure(step, fused, vocabulary, group, observer?.observe);
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
    ahead: readonly Slice[] = [],
  ): Promise<BlockTerms[][]> {
    const { memo, executor } = this.setup;
    const { vocabulary } = this.readouts[asked];
    const missing = this.unmeasured(step, candidates, vocabulary);
    // Slices are journaled as they end, except for streamed sessions, where each pass loads the model.
    for (const group of executor.keepsSessions
      ? slices.map((slice) => [slice])
      : [this.withCheap(slices, ahead, missing)]) {
      await this.measureAll(step, joinSlices(group, missing), vocabulary);
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

  /** Returns the candidates without terms of a slice. */
  private unmeasured(
    step: string,
    candidates: readonly Candidate[],
    vocabulary: Vocabulary,
  ): (slice: Slice) => readonly Candidate[] {
    const { memo } = this.setup;
    return (slice) =>
      candidates.filter(({ id }) => memo.get(step, id, vocabulary, slice) === undefined);
  }

  /** Candidates that are measured together with the original on some sequences, if their states fit in one pass. */
  private wantedFirst(
    { step, candidates, slices, vocabulary, ahead }: FirstMeasurement,
    sequences: readonly number[],
  ): readonly Wanted[] {
    const missing = this.unmeasured(step, candidates, this.readouts[vocabulary].vocabulary);
    const isHere = ({ sequence }: Slice): boolean => sequences.includes(sequence);
    const group = this.withCheap(slices.filter(isHere), ahead.filter(isHere), missing);
    const { shares } = this.setup.executor;
    let room = shares.stateBytes * streamedActiveShare;
    return joinSlices(group, missing).filter((one) => {
      room -= this.activeBytes(one);
      return room >= 0;
    });
  }

  /**
   * Adds slices that may be needed next, if measuring them in the same pass takes no longer than opening its sessions again
   * and needs no further pass.
   */
  private withCheap(
    slices: readonly Slice[],
    ahead: readonly Slice[],
    missing: (slice: Slice) => readonly Candidate[],
  ): readonly Slice[] {
    const { shares, model } = this.setup.executor;
    const fitting = countFitting(shares, streamedActiveShare, stateBytesPerToken(model));
    const tokens = countRows(joinSlices(slices, missing));
    const free = tokensPerOpening * inactiveRatio(model.summary);
    const most = tokens === 0 ? 0 : Math.min(tokens + free, Math.max(tokens, fitting));
    let taken = slices;
    for (const slice of ahead) {
      const more = [...taken, slice];
      if (countRows(joinSlices(more, missing)) > most) {
        break;
      }
      taken = more;
    }
    return taken;
  }

  /** Measures in as few passes through the layers as memory allows. */
  private async measureAll(
    step: string,
    wanted: readonly Wanted[],
    vocabulary: Vocabulary,
  ): Promise<void> {
    const { shares, keepsSessions } = this.setup.executor;
    const room = shares.stateBytes * (keepsSessions ? activeShare : streamedActiveShare);
    let pass: Wanted[] = [];
    let bytes = 0;
    for (const one of wanted) {
      const more = this.activeBytes(one);
      if (pass.length > 0 && bytes + more > room) {
        await this.measure(step, pass, vocabulary);
        [pass, bytes] = [[], 0];
      }
      pass.push(one);
      bytes += more;
    }
    if (pass.length > 0) {
      await this.measure(step, pass, vocabulary);
    }
  }

  /**
   * Takes candidates through the layers in one pass, together with the main trajectories that they start from and with the
   * original on the sequences of `originals`.
   */
  private async measure(
    step: string,
    wanted: readonly Wanted[],
    vocabulary: Vocabulary,
    originals: readonly number[] = this.withoutOriginal(wanted),
    observe?: SublayerObserver,
  ): Promise<void> {
    const { states } = this.setup.executor;
    const walkers: Walker[] = [];
    const started = new Map<Wanted, Walker>();
    const start = async (one: Wanted, { boundary, state }: Boundary): Promise<void> => {
      const { candidate, sequence } = one;
      const to = lastRow(one);
      const cut = await this.prefixes.cut(sequenceInput(this.setup, sequence), state, to);
      const walker = {
        ...{ trajectory: candidate.id, sequence, boundary },
        share: this.sequenceShare({ sequence, from: 0, to }),
        skip: new Set([...this.removed, ...candidate.members]),
        end: this.count,
        state: states.hold(cut),
      };
      walkers.push(walker);
      started.set(one, walker);
    };
    /** Starts the candidates that leave the main trajectory here. */
    const branch = async ({ trajectory, sequence, boundary, state }: Walker): Promise<void> => {
      if (trajectory === mainTrajectory) {
        for (const one of wanted) {
          const isHere = one.sequence === sequence && one.candidate.first === boundary;
          if (isHere && !started.has(one)) {
            await start(one, { boundary, state });
          }
        }
      }
    };
    try {
      for (const one of wanted) {
        const known = this.knownStart(one);
        if (known !== undefined) {
          await start(one, known);
          states.release(known.state);
        }
      }
      const open = wanted.filter((one) => !started.has(one));
      const isOriginal = this.removed.size === 0;
      const whole = new Map<number, Walker>();
      for (const sequence of new Set([...originals, ...open.map((one) => one.sequence)])) {
        const exits = open
          .filter((one) => one.sequence === sequence)
          .map(({ candidate }) => candidate.first);
        const runsWhole = originals.includes(sequence);
        if (exits.length > 0 || (runsWhole && isOriginal)) {
          const last = runsWhole && isOriginal ? [this.count] : [];
          const [first, end] = [Math.min(this.count, ...exits), Math.max(...exits, ...last)];
          walkers.push(await this.mainWalker(sequence, first, end));
        }
        if (runsWhole) {
          const own = isOriginal ? walkers.at(-1) : await this.originalWalker(sequence);
          whole.set(sequence, own ?? lost());
          walkers.push(...(isOriginal ? [] : [whole.get(sequence) ?? lost()]));
        }
      }
      await this.advance(walkers, branch, observe);
      // Ends the time that counts for the last sublayer.
      await this.pause();
      for (const [sequence, { state }] of whole) {
        this.original.set(sequence, await states.toHost(state));
      }
      const finals = new Map(wanted.map((one) => [one, started.get(one)?.state ?? lost()]));
      await this.readOut(step, finals, vocabulary);
    } finally {
      states.release(...walkers.map(({ state }) => state));
    }
  }

  /**
   * State from which a candidate can start at once: of its own trajectory, or of the main one at its branch. The caller must
   * release it.
   */
  private knownStart(one: Wanted): Boundary | undefined {
    const { candidate, sequence } = one;
    const tokens = Math.min(lastRow(one), tokensIn(this.setup, sequence));
    const own = this.store.nearest(candidate.id, sequence, this.count, tokens);
    return own === undefined ? this.resting(sequence, candidate.first) : this.holdState(own);
  }

  /** Measures final states, slice by slice. */
  private async readOut(
    step: string,
    finals: ReadonlyMap<Wanted, HiddenState>,
    vocabulary: Vocabulary,
  ): Promise<void> {
    const { memo, work } = this.setup;
    for (const slice of new Set([...finals.keys()].flatMap(({ slices }) => slices))) {
      const group = [...finals].filter(([{ slices }]) => slices.includes(slice));
      const input = sequenceInput(this.setup, slice.sequence);
      const states: HiddenState[] = [];
      for (const [{ candidate }, final] of group) {
        const state = await this.prefixes.cut(input, final, slice.to);
        await this.onFinal(candidate, slice, state);
        states.push(state);
      }
      const found = await this.readouts[vocabulary].rowTerms(
        input,
        this.original.get(slice.sequence) ?? lost(),
        states,
        slice,
        this.pause,
      );
      work.addReadouts(group.length * this.sequenceShare(slice), vocabulary);
      const read = `${vocabulary} ${slice.sequence} ${slice.from} ${slice.to}`;
      if (!this.originalsRead.has(read)) {
        this.originalsRead.add(read);
        work.addReadouts(this.sequenceShare(slice), 'whole');
      }
      await memo.add(
        group.map(([{ candidate }], i) => ({
          kind: 'term',
          step,
          candidate: candidate.id,
          vocabulary,
          ...slice,
          terms: sumTermsByBlock(found[i] ?? lost()),
        })),
      );
      await this.pause();
    }
  }

  /** Share of a sequence in a slice. */
  private sequenceShare({ sequence, from, to }: Slice): number {
    const tokens = tokensIn(this.setup, sequence);
    return tokens === 0 ? 1 : (to - from) / tokens;
  }

  /** Sequences of candidates whose original has not been run. */
  private withoutOriginal(wanted: readonly Wanted[]): readonly number[] {
    return [...new Set(wanted.map(({ sequence }) => sequence))].filter(
      (sequence) => !this.original.has(sequence),
    );
  }

  /** Bytes of a final state, from its number of positions if it is not known. */
  private finalBytes(sequence: number): number {
    const known = this.original.get(sequence);
    const { model } = this.setup.executor;
    return known === undefined
      ? countPositions(sequenceInput(this.setup, sequence)) * stateBytesPerToken(model)
      : stateBytes(known);
  }

  /** Bytes of a candidate's state in a pass. */
  private activeBytes(one: Wanted): number {
    const { sequence } = one;
    return this.finalBytes(sequence) * this.sequenceShare({ sequence, from: 0, to: lastRow(one) });
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

  /** Walker of the main trajectory, from its last cached state at or before `first`. */
  private async mainWalker(sequence: number, first: number, end: number): Promise<Walker> {
    const at = await this.mainAtMost(sequence, first);
    return { trajectory: mainTrajectory, sequence, share: 1, skip: this.removed, end, ...at };
  }

  /** Walker of the model without removals, once some units are removed. */
  private async originalWalker(sequence: number): Promise<Walker> {
    const { executor } = this.setup;
    const state = await executor.states.toDevice(
      await executor.embed(sequenceInput(this.setup, sequence)),
    );
    const start = { sequence, share: 1, boundary: 0, state };
    return { ...start, trajectory: originalTrajectory, skip: new Set(), end: this.count };
  }

  /** The caller must release the state. */
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

  /**
   * Advances trajectories through the layers, running each sublayer once for all of them.
   * @param visit called with each walker at each boundary; may add walkers there
   */
  private async advance(
    walkers: readonly Walker[],
    visit: (walker: Walker) => Promise<void> = () => Promise.resolve(),
    observe: SublayerObserver = () => Promise.resolve(),
  ): Promise<void> {
    for (const walker of [...walkers]) {
      await visit(walker);
    }
    const { executor, work } = this.setup;
    for (let index = 0; index < this.count; index++) {
      const here = walkers.filter(({ boundary, end }) => boundary === index && index < end);
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
          if (walker.trajectory === mainTrajectory) {
            await observe(index, walker.state, next);
          }
          if (walker.trajectory !== originalTrajectory) {
            this.store.put(walker.trajectory, walker.sequence, {
              boundary: index + 1,
              state: next,
            });
          }
        }
        walker.boundary = index + 1;
        executor.states.release(walker.state);
        walker.state = next;
      }
      for (const walker of here) {
        await visit(walker);
      }
    }
  }
}

/** Joins slices of one sequence, which are measured on the last rows that any of them needs. */
function joinSlices(
  slices: readonly Slice[],
  missing: (slice: Slice) => readonly Candidate[],
): Wanted[] {
  const all = new Map<string, Wanted>();
  for (const slice of slices) {
    const { sequence } = slice;
    for (const candidate of missing(slice)) {
      const key = `${sequence} ${candidate.id}`;
      const known = all.get(key) ?? { candidate, sequence, slices: [] };
      known.slices.push(slice);
      all.set(key, known);
    }
  }
  return [...all.values()];
}

const countRows = (wanted: readonly Wanted[]): number =>
  wanted.reduce((sum, one) => sum + lastRow(one), 0);

/**
 * Weights of the sublayers for each weight that a token uses: 1 unless the model has MoE layers. Opening their sessions takes
 * as much longer than a token.
 */
function inactiveRatio({ sublayers }: ModelSummary): number {
  const weights = sublayers.reduce((sum, { parameters }) => sum + parameters, 0);
  const active = sublayers.reduce((sum, { flopsPerToken }) => sum + flopsPerToken / 2, 0);
  return active > 0 ? Math.max(1, weights / active) : 1;
}

const lastRow = ({ slices }: Wanted): number => Math.max(...slices.map(({ to }) => to));

function lost(): never {
  throw new Error('a trajectory has no state to start from');
}
