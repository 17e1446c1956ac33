import type { Cancellation } from '../../jobs/job';
import { checkpoint } from '../../jobs/job';
import type { MetricName } from '../../metrics/metrics';
import { createReadout } from '../../metrics/metric-readout';
import type { MetricReadout } from '../../metrics/row-readout';
import { metrics } from '../../metrics/metrics';
import { blockTerms, splitIntoLooks, prefixTokens, Prefixes } from '../../metrics/slices';
import type { Slice } from '../../metrics/slices';
import { TermSample } from '../../metrics/term-sample';
import type { EstimatedDistance } from '../../metrics/term-sample';
import type { ModelInput } from '../../models/model-input';
import type { GraphPart, Step } from '../../models/layered-model';
import type { LayeredExecutor } from '../../runtime/layered-executor';
import { explainNonFinite } from '../../runtime/non-finite';
import { fittingIn } from '../../runtime/states/batches';
import { isFiniteState, stateBytes } from '../../runtime/tensors';
import type { HiddenState } from '../../runtime/tensors';
import { interpolate, measuredFirst, nextToMeasure } from './ladders';
import type { Ladder } from './ladders';

/** What changes are measured with. */
export interface ChangeSetup {
  /** Runs the model that is changed. */
  readonly executor: LayeredExecutor;
  /** Runs the model that outputs are compared with, where that has another head. */
  readonly original?: LayeredExecutor;
  readonly inputs: readonly ModelInput[];
  readonly metric: MetricName;
  readonly cancellation: Cancellation;
  /** Sublayers that the model lacks. */
  readonly removed?: ReadonlySet<number>;
  /** Called after every run of ONNX Runtime. */
  readonly onWork: () => void;
}

/** A step that replaces one sublayer, and the experts that it leaves out. */
export type StandIn = Step & { readonly part: GraphPart; readonly without?: readonly number[] };

/** How many changes of a layer, as a share, are milder than the one that is measured on all rows. */
const referencePlace = 0.6;

/** Share of the memory for states that the changed ones may take while they go through the rest. */
const inFlightShare = 0.5;

/**
 * Measures what a model's output becomes when single sublayers are changed. What lies in front of a
 * sublayer is run once for all changes of it, and only what lies behind is run for each.
 */
export class ChangeScorer {
  private readonly readout: MetricReadout;
  /** Where distances need not be exact. */
  private readonly estimatingReadout: MetricReadout;
  private readonly count: number;
  /** The model's states in front of the sublayer that is next. */
  private states: readonly HiddenState[] = [];
  private index = 0;
  /** The final states that outputs are compared with, and the rows of an output. */
  private reference: readonly HiddenState[] = [];
  private rows: readonly number[] = [];
  private readonly prefixes: Prefixes;
  /** What evaluations of prefixes lack to those of whole sequences. */
  private spared = 0;
  /** Its own final states. */
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

  /** Sublayer evaluations of its executor so far; a prefix of a sequence counts as its share. */
  public get evaluations(): number {
    return this.setup.executor.evaluations - this.spared;
  }

  /**
   * Runs the whole model once and goes back to its first sublayer. Distances are to `reference`, the
   * final states of another model on the same inputs, or to this model's own.
   * @returns the final states
   * @throws UserError where numbers are not finite.
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
    this.rows = await this.rowsOfInputs();
    this.states = first;
    this.index = 0;
    this.final = final;
    return final;
  }

  /** Goes on to sublayer `index`, which is not in front of the one it stands at. */
  public async advance(index: number): Promise<readonly HiddenState[]> {
    for (; this.index < index; this.index++) {
      this.states = await this.step(this.index, this.states);
    }
    return this.states;
  }

  /** The distance of the model as it is, by its final states. */
  public async distance(final: readonly HiddenState[]): Promise<number> {
    return this.distanceBy(this.readout, final);
  }

  /**
   * The distance with the embedding and head of another model whose sublayers are this one's. Where its
   * embedding is this model's too, only the head is run.
   */
  public async outerDistance(
    other: LayeredExecutor,
    { reembeds }: { readonly reembeds: boolean },
  ): Promise<number> {
    const { executor, metric, original = executor } = this.setup;
    // In graphs, the part over the last sublayer makes what is behind it.
    const hasOwnHead = other.model.emitter !== undefined;
    const final = reembeds || !hasOwnHead ? await this.between(other) : this.final;
    return this.distanceBy(createReadout(other, metric, metrics[metric], { original }), final);
  }

  /** The distance with each step in place of its sublayer, measured on all rows. */
  public async distances(steps: readonly StandIn[]): Promise<readonly EstimatedDistance[]> {
    const changes = this.changesOf(steps);
    const whole = this.rows.map((to, sequence): Slice => ({ sequence, from: 0, to }));
    await this.measure(changes, whole, this.readout);
    return changes.map(({ sample }) => sample.distance());
  }

  /**
   * As {@link ChangeScorer.distances}, over ids that stand for the vocabulary, and on as many rows as it takes for
   * errors of at most `precision` times the distance. Rows differ far more than what changes of one layer do to
   * them, so one change is measured on all rows, and the others by their ratio to it.
   * @param ladders of steps that need not all be measured, see {@link interpolate}
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
        reference = referenceOf(group);
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

  /** Takes changes through what lies behind them, on some rows, and adds what they make of these. */
  private async measure(
    changes: readonly Change[],
    slices: readonly Slice[],
    readout: MetricReadout,
  ): Promise<void> {
    const { executor, inputs } = this.setup;
    // A sequence is run once, as far as its last slice.
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

  /** @param starts where sequences start, at their places */
  private async measureTogether(
    group: readonly Change[],
    starts: readonly HiddenState[],
    places: ReadonlyMap<number, number>,
    slices: readonly Slice[],
    readout: MetricReadout,
  ): Promise<void> {
    const { executor, inputs } = this.setup;
    const held: HiddenState[] = [];
    try {
      for (const { step } of group) {
        held.push(...(await executor.through(step, starts, this.pause, step.without)));
      }
      const final = await this.follow(this.index + 1, held);
      held.push(...final);
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
          sample.add(slice, blockTerms(terms[j] ?? lost()));
        });
        await this.pause();
      }
    } finally {
      executor.states.release(...held);
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

  /** From in front of sublayer `from` to the end, or in front of sublayer `to`. Held by the caller. */
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

  /** This model's sublayers between what stands in front of and behind those of another. */
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
      sample.add({ sequence, from: 0, to }, blockTerms(terms));
    }
    return sample.distance().distance;
  }

  /** Rows of each input's output. */
  private async rowsOfInputs(): Promise<number[]> {
    const rows: number[] = [];
    for (const [i, input] of this.setup.inputs.entries()) {
      rows.push(await this.readout.rows(input, this.reference[i] ?? lost()));
    }
    return rows;
  }

  /** How many changes go through the rest of the model together. */
  private changesInFlight(states: readonly HiddenState[]): number {
    const bytes = states.reduce((sum, state) => sum + stateBytes(state), 0);
    return fittingIn(this.setup.executor.shares, inFlightShare, bytes);
  }
}

/**
 * The change that others are held against: one of larger distance, as those of int8 and int4 are told less by tokens.
 */
function referenceOf(changes: readonly Change[]): Change {
  const ordered = [...changes].sort((a, b) => a.sample.total - b.sample.total);
  return ordered[Math.floor(ordered.length * referencePlace)] ?? lost();
}

/** A change of a sublayer, and what was measured of it. */
interface Change {
  readonly step: StandIn;
  readonly sample: TermSample;
}

function lost(): never {
  throw new Error('there are no states to measure: the scorer was not started');
}
