import type { Cancellation } from '../../jobs/job';
import { checkpoint } from '../../jobs/job';
import type { MetricName } from '../../metrics/metrics';
import { createReadout } from '../../metrics/metric-readout';
import type { MetricReadout } from '../../metrics/row-readout';
import { metrics } from '../../metrics/metrics';
import { sumTermsByBlock, splitIntoLooks, prefixTokens, Prefixes } from '../../metrics/slices';
import type { Slice } from '../../metrics/slices';
import { TermSample } from '../../metrics/term-sample';
import type { EstimatedDistance } from '../../metrics/term-sample';
import type { ModelInput } from '../../models/model-input';
import type { GraphPart, Step } from '../../models/layered-model';
import type { LayeredExecutor } from '../../runtime/layered-executor';
import { explainNonFinite } from '../../runtime/non-finite';
import { countFitting } from '../../runtime/states/batches';
import { isFiniteState, stateBytes } from '../../runtime/tensors';
import type { HiddenState } from '../../runtime/tensors';
import { interpolate, measuredFirst, nextToMeasure } from './ladders';
import type { Ladder } from './ladders';

/** Executors, inputs and metric for measuring changes. */
export interface ChangeSetup {
  /** Executor of the model that is changed. */
  readonly executor: LayeredExecutor;
  /** Executor of the model to compare outputs with, if its head differs. */
  readonly original?: LayeredExecutor;
  readonly inputs: readonly ModelInput[];
  readonly metric: MetricName;
  readonly cancellation: Cancellation;
  /** Indices of sublayers that are removed from the model. */
  readonly removed?: ReadonlySet<number>;
  /** Called after every run of ONNX Runtime. */
  readonly onWork: () => void;
}

/** Step that replaces one sublayer, and the experts that it removes. */
export type StandIn = Step & { readonly part: GraphPart; readonly without?: readonly number[] };

/** Quantile of the change, by distance, that is measured on all rows as the reference. */
const referencePlace = 0.6;

/** Share of the memory for states that changed states may use while they run through the remaining sublayers. */
const maxInFlightShare = 0.5;

/**
 * Measures the model's output if single sublayers are changed. Sublayers before the changed one run once for all
 * changes, and only the sublayers after it run for each change.
 */
export class ChangeScorer {
  private readonly readout: MetricReadout;
  /** Readout for distances that don't need to be exact. */
  private readonly estimatingReadout: MetricReadout;
  private readonly count: number;
  /** The model's states before the next sublayer. */
  private states: readonly HiddenState[] = [];
  private index = 0;
  /** Final states to compare outputs with, and number of rows of each output. */
  private reference: readonly HiddenState[] = [];
  private rows: readonly number[] = [];
  private readonly prefixes: Prefixes;
  /** Sublayer evaluations saved by running prefixes instead of whole sequences. */
  private spared = 0;
  /** The model's own final states. */
  private final: readonly HiddenState[] = [];

  public constructor(private readonly setup: ChangeSetup) {
    const { executor, metric, original } = setup;
    this.readout = createReadout(executor, metric, metrics[metric], { original });
    this.estimatingReadout = createReadout(executor, metric, metrics[metric], {
      original,
      vocabulary: 'sampled',
    });
    this.count = executor.model.summary.sublayers.length;
    this.prefixes = new Prefixes(executor);
  }

  /** Number of sublayer evaluations of its executor so far; prefixes count by their share of a sequence. */
  public get evaluations(): number {
    return this.setup.executor.evaluations - this.spared;
  }

  /**
   * Runs the whole model once and returns to its first sublayer. Distances are to `reference`, the final states of
   * another model on the same inputs, or to this model's own.
   * @returns the final states
   * @throws UserError if values aren't finite
   */
  public async start(reference?: readonly HiddenState[]): Promise<readonly HiddenState[]> {
    const { executor, inputs } = this.setup;
    const first = await this.embedded(executor);
    const final = await this.follow(0, first);
    const faulty = final.findIndex((state) => !isFiniteState(state));
    const input = inputs[faulty];
    if (input !== undefined) {
      throw await explainNonFinite(executor, input);
    }
    this.reference = reference ?? final;
    this.rows = await this.countRows();
    this.states = first;
    this.index = 0;
    this.final = final;
    return final;
  }

  /** Advances to sublayer `index`, which isn't before the current one. */
  public async advance(index: number): Promise<readonly HiddenState[]> {
    for (; this.index < index; this.index++) {
      this.states = await this.step(this.index, this.states);
    }
    return this.states;
  }

  /** Distance of the unchanged model, from its final states. */
  public async distance(final: readonly HiddenState[]): Promise<number> {
    return this.distanceBy(this.readout, final);
  }

  /**
   * Distance with the embedding and head of another model that has the same sublayers. Runs only the head if the
   * embedding is the same.
   */
  public async distanceWithHead(
    other: LayeredExecutor,
    { reembeds }: { readonly reembeds: boolean },
  ): Promise<number> {
    const { executor, metric, original = executor } = this.setup;
    // In graphs, the part of the last sublayer also computes the head.
    const hasOwnHead = other.model.emitter !== undefined;
    const final = reembeds || !hasOwnHead ? await this.between(other) : this.final;
    return this.distanceBy(createReadout(other, metric, metrics[metric], { original }), final);
  }

  /** Distance of each step as a replacement of its sublayer, measured on all rows. */
  public async distances(steps: readonly StandIn[]): Promise<readonly EstimatedDistance[]> {
    const changes = this.changesOf(steps);
    const whole = this.rows.map((to, sequence): Slice => ({ sequence, from: 0, to }));
    await this.measure(changes, whole, this.readout);
    return changes.map(({ sample }) => sample.distance());
  }

  /**
   * Like {@link ChangeScorer.distances}, over sampled vocabulary ids, and on enough rows for errors of at most
   * `precision` times the distance. Rows differ far more than changes of one layer do, so one reference change is
   * measured on all rows, and the others by their ratio to it.
   * @param ladders of steps that don't all need to be measured, see {@link interpolate}
   */
  public async estimates(
    steps: readonly StandIn[],
    precision: number,
    ladders: readonly Ladder[] = [],
  ): Promise<readonly EstimatedDistance[]> {
    const { executor, inputs } = this.setup;
    const changes = this.changesOf(steps);
    const isCausal = inputs.every((input) => prefixTokens(executor.model, input) > 0);
    const [look = [], ...others] = splitIntoLooks(this.rows, isCausal);
    const first = new Set(ladders.flatMap((ladder) => measuredFirst(ladder, precision)));
    const later = new Set(
      ladders
        .flatMap(({ rungs }) => rungs.map(({ place }) => place))
        .filter((place) => !first.has(place)),
    );
    let due = [...changes.keys()].filter((place) => !later.has(place));
    let reference: Change | undefined;
    const measured = new Map<number, EstimatedDistance>();
    const found = new Map<number, EstimatedDistance>();
    while (due.length > 0) {
      const group = due.map((place) => changes[place] ?? lost());
      await this.measure(group, look, this.estimatingReadout);
      if (reference === undefined) {
        reference = selectReference(group);
        await this.measure([reference], others.flat(), this.estimatingReadout);
      }
      const { sample: whole } = reference;
      for (const more of others) {
        const open = group.filter(({ sample }) => {
          const { distance, standardError = Number.POSITIVE_INFINITY } = sample.distanceBy(whole);
          return !sample.isComplete && !(standardError <= precision * distance);
        });
        await this.measure(open, more, this.estimatingReadout);
      }
      due.forEach((place, i) => measured.set(place, (group[i] ?? lost()).sample.distanceBy(whole)));
      due = [];
      for (const ladder of ladders) {
        const interpolated = interpolate(ladder, measured);
        interpolated.forEach((distance, place) => found.set(place, distance));
        due.push(...nextToMeasure(ladder, interpolated, precision));
      }
    }
    return changes.map((_, place) => measured.get(place) ?? found.get(place) ?? lost());
  }

  private changesOf(steps: readonly StandIn[]): Change[] {
    const { metric } = this.setup;
    return steps.map((step) => ({ step, sample: new TermSample(metrics[metric], this.rows) }));
  }

  /** Runs changes through the remaining sublayers on some rows, and adds their terms. */
  private async measure(
    changes: readonly Change[],
    slices: readonly Slice[],
    readout: MetricReadout,
  ): Promise<void> {
    const { executor, inputs } = this.setup;
    // A sequence runs once, up to the end of its last slice.
    const ends = new Map<number, number>();
    for (const { sequence, to } of slices) {
      ends.set(sequence, Math.max(to, ends.get(sequence) ?? 0));
    }
    const places = new Map([...ends.keys()].map((sequence, place) => [sequence, place]));
    const starts: HiddenState[] = [];
    for (const [sequence, to] of ends) {
      const [input, state] = [inputs[sequence] ?? lost(), this.states[sequence] ?? lost()];
      const cut = await this.prefixes.cut(input, state, to);
      starts.push(await executor.states.toDevice(cut));
    }
    const sparedEach = [...ends].reduce((sum, [sequence, to]) => {
      const rows = this.rows[sequence] ?? to;
      return (
        sum + (prefixTokens(executor.model, inputs[sequence] ?? lost()) > 0 ? 1 - to / rows : 0)
      );
    }, 0);
    this.spared += sparedEach * changes.length * (this.count - this.index);
    const perGroup = this.changesInFlight(starts);
    try {
      for (let start = 0; start < changes.length; start += perGroup) {
        const group = changes.slice(start, start + perGroup);
        await this.measureTogether(group, starts, places, slices, readout);
      }
    } finally {
      executor.states.release(...starts);
    }
  }

  /** @param starts states before the changed sublayer, at the indices of their sequences */
  private async measureTogether(
    group: readonly Change[],
    starts: readonly HiddenState[],
    places: ReadonlyMap<number, number>,
    slices: readonly Slice[],
    readout: MetricReadout,
  ): Promise<void> {
    const { executor, inputs } = this.setup;
    const changed: HiddenState[] = [];
    try {
      for (const { step } of group) {
        changed.push(...(await executor.through(step, starts, this.pause, step.without)));
      }
      const final = await this.follow(this.index + 1, changed);
      changed.push(...final);
      for (const slice of slices) {
        const place = places.get(slice.sequence) ?? lost();
        const terms = await readout.rowTerms(
          inputs[slice.sequence] ?? lost(),
          this.reference[slice.sequence] ?? lost(),
          group.map((_, j) => final[j * starts.length + place] ?? lost()),
          slice,
          this.pause,
        );
        group.forEach(({ sample }, j) => {
          sample.add(slice, sumTermsByBlock(terms[j] ?? lost()));
        });
        await this.pause();
      }
    } finally {
      executor.states.release(...changed);
    }
  }

  private readonly pause = async (): Promise<void> => {
    this.setup.onWork();
    await checkpoint(this.setup.cancellation);
  };

  private async step(
    index: number,
    states: readonly HiddenState[],
    executor = this.setup.executor,
  ): Promise<HiddenState[]> {
    const { removed = new Set() } = this.setup;
    return executor.pass(index, states, removed, this.pause);
  }

  /** Runs from before sublayer `from` to the end, or to before sublayer `to`. The caller disposes the result. */
  private async follow(
    from: number,
    states: readonly HiddenState[],
    to = this.count,
  ): Promise<readonly HiddenState[]> {
    const { states: all } = this.setup.executor;
    let current = states.map((state) => all.hold(state));
    for (let index = from; index < to; index++) {
      const before = current;
      try {
        current = await this.step(index, before);
      } finally {
        all.release(...before);
      }
    }
    return current;
  }

  /** Runs this model's sublayers between another model's embedding and head. */
  private async between(other: LayeredExecutor): Promise<readonly HiddenState[]> {
    const last = this.count - 1;
    const states = await this.follow(0, await this.embedded(other), last);
    return last < 0 ? states : this.step(last, states, other);
  }

  private async embedded(executor: LayeredExecutor): Promise<HiddenState[]> {
    const states: HiddenState[] = [];
    for (const input of this.setup.inputs) {
      states.push(await executor.embed(input));
      await this.pause();
    }
    return states;
  }

  private async distanceBy(readout: MetricReadout, final: readonly HiddenState[]): Promise<number> {
    const { inputs, metric } = this.setup;
    const sample = new TermSample(metrics[metric], this.rows);
    for (const [sequence, to] of this.rows.entries()) {
      const [terms = lost()] = await readout.rowTerms(
        inputs[sequence] ?? lost(),
        this.reference[sequence] ?? lost(),
        [final[sequence] ?? lost()],
      );
      sample.add({ sequence, from: 0, to }, sumTermsByBlock(terms));
    }
    return sample.distance().distance;
  }

  /** Number of rows of each input's output. */
  private async countRows(): Promise<number[]> {
    const rows: number[] = [];
    for (const [i, input] of this.setup.inputs.entries()) {
      rows.push(await this.readout.rows(input, this.reference[i] ?? lost()));
    }
    return rows;
  }

  /** Number of changes that run through the remaining sublayers together. */
  private changesInFlight(states: readonly HiddenState[]): number {
    const bytes = states.reduce((sum, state) => sum + stateBytes(state), 0);
    return countFitting(this.setup.executor.shares, maxInFlightShare, bytes);
  }
}

/**
 * Selects the reference change that others are compared with: one of larger distance, since few tokens say less about
 * int8 and int4.
 */
function selectReference(changes: readonly Change[]): Change {
  const ordered = [...changes].sort((a, b) => a.sample.total - b.sample.total);
  return ordered[Math.floor(ordered.length * referencePlace)] ?? lost();
}

/** Change of a sublayer, with its measurements. */
interface Change {
  readonly step: StandIn;
  readonly sample: TermSample;
}

function lost(): never {
  throw new Error('there are no states to measure: the scorer was not started');
}
