import type { HiddenState } from '../../runtime/tensors';
import type { Candidate } from '../candidates';
import { Expectations } from './expectations';
import type { Prediction } from './expectations';
import { least, leastFirst } from '../least';
import { bestCandidate, roundResult } from '../rounds';
import type { Proposal, RoundInput, RoundResult } from '../rounds';
import { screeningSetup } from '../scorer';
import { confirmedRows } from '../screening-copy';
import type { FinalObserver, FirstMeasurement, OriginalStates } from '../scorer';
import type { SearchPlan } from '../search-plan';
import { splitIntoSlices } from '../../metrics/slices';
import type { Slice } from '../../metrics/slices';
import { studentQuantile } from '../../statistics';
import { Surrogate } from './surrogate';
import { firstSlices, RoundMeasurements } from '../round-measurements';

/** Minimum number of blocks of rows for estimating their spread. */
const minBlocks = 8;

/**
 * Share of a divergence by which a winner may be worse than the best candidate (indifference zone of ranking and selection).
 * Candidates that can only be a little better than the leader aren't measured further.
 */
const indifference = 0.01;

/** Number of rows of the first sequence on which nearly all finalists are measured. */
const finalistRows = 256;

/**
 * Greedy rounds that measure only as much as each decision needs. The first round measures every candidate on a few
 * tokens, later ones only those that a surrogate proposes. Candidates are then raced slice by slice against the leader
 * on the same tokens, and dropped once they are worse with the required confidence.
 */
export class AdaptiveRounds {
  private slices: readonly Slice[] = [];
  private surrogate: Surrogate | undefined;
  private readonly expectations: Expectations;
  /** True if the distance of the original is 0. Other metrics, such as perplexity, change by small shares. */
  private readonly isDivergence: boolean;
  /** Number of completed rounds. */
  private done = 0;
  /** Final states of the surrogate's slice by candidate, until the surrogate has learned from them. */
  private readonly finals = new Map<string, HiddenState>();

  /** @param startOthers runs the original on further sequences */
  public constructor(
    private readonly plan: SearchPlan,
    private readonly startOthers: () => Promise<void>,
  ) {
    this.isDivergence = plan.setup.metric.reads.includes('change');
    this.expectations = new Expectations(this.isDivergence);
  }

  /** Sets the original's final states, including at least the first sequence. */
  public async start(original: OriginalStates): Promise<void> {
    const { setup, rows, hasPrefixes } = this.plan;
    this.slices = splitIntoSlices(rows, hasPrefixes, this.plan.texts);
    const [slice] = this.slices;
    const state = original.get(0);
    if (slice !== undefined && state !== undefined) {
      this.surrogate = await Surrogate.start(screeningSetup(setup), slice, state);
    }
  }

  /** Rough heatmap of the first round, which can be measured while the original runs. */
  public firstMeasurement(step: string): FirstMeasurement {
    const { rows, hasPrefixes, texts, candidates } = this.plan;
    const slices = splitIntoSlices(rows, hasPrefixes, texts);
    const [first, ahead] = [slices.slice(0, texts), slices.slice(texts)];
    return { step, candidates, slices: first, vocabulary: 'sampled', ahead };
  }

  /** Slices on which a winner is confirmed. */
  private get confirmedSlices(): readonly Slice[] {
    return this.plan.setup.copy === undefined
      ? this.slices
      : firstSlices(this.slices, confirmedRows);
  }

  /** Number of rows of the rough heatmap, which are the surrogate's rows. */
  private get seenRows(): number {
    return this.slices[0]?.to ?? 0;
  }

  /** Records final states for the surrogate. */
  public readonly onFinal: FinalObserver = async (candidate, slice, state) => {
    if (slice.sequence === 0 && slice.from === 0) {
      const { states } = screeningSetup(this.plan.setup).executor;
      this.finals.set(candidate.id, await states.copyToHost(state));
    }
  };

  /** Frees cached states after the last round. */
  public end(): void {
    this.surrogate?.end();
  }

  /** Decides the next round; a {@link Strategy}. */
  public readonly round = async (input: RoundInput): Promise<RoundResult> => {
    const measurements = new RoundMeasurements({ ...input, estimates: true });
    const runners = input.candidates.filter(input.isEligible);
    if (this.done === 0) {
      await this.measureRough(measurements, input, input.candidates, this.plan.texts);
      await this.startOthers();
      await this.race(input, measurements, runners, this.plan.texts);
      return this.decide(input, measurements, new Map());
    }
    const predictions = await this.predictions(input.step, runners);
    const expected = new Map(
      [...predictions].map(([id, one]) => [id, this.expectations.expectedFromPrediction(id, one)]),
    );
    const predictionAge = ({ id }: Candidate): number => predictions.get(id)?.age ?? 0;
    const looked = propose(runners, this.done, expected, predictionAge);
    await this.measureRough(measurements, input, looked);
    const nearest = new Map([...expected, ...this.expectedDistances(measurements, looked)]);
    const finalists: Candidate[] = [];
    // If the outputs of all finalists overflow, adds the remaining candidates with the lowest expected distances.
    for (let hasWinner = false; !hasWinner && finalists.length < runners.length;) {
      const left = runners.filter((candidate) => !finalists.includes(candidate));
      const next = chooseFinalists(left, nearest);
      await this.walkAhead(input, next);
      const others = next.filter((candidate) => !measurements.isMeasured(candidate));
      await this.measureRough(measurements, input, others);
      finalists.push(...next);
      hasWinner = await this.race(input, measurements, next);
    }
    return this.decide(input, measurements, predictions, { expected, finalists });
  };

  /** Expected distances, by id, of candidates whose first rows are measured. */
  private expectedDistances(
    measurements: RoundMeasurements,
    candidates: readonly Candidate[],
  ): ReadonlyMap<string, number> {
    const expected = candidates.map((candidate) => {
      const { seen } = measurements.partialDistances(candidate, this.seenRows);
      return [candidate.id, this.expectations.expectedFromSeenRows(candidate.id, seen)] as const;
    });
    return new Map(expected);
  }

  /** Ends a round and updates the surrogate. */
  private decide(
    input: RoundInput,
    measurements: RoundMeasurements,
    predictions: ReadonlyMap<string, Prediction>,
    proposal?: Proposal,
  ): RoundResult {
    this.finals.clear();
    const result = roundResult(input, measurements, proposal);
    this.expectations.learn(measurements, input.candidates, this.seenRows, predictions);
    if (result.winner !== undefined) {
      const { candidate } = result.winner;
      this.expectations.commit(candidate, measurements, this.seenRows);
      this.surrogate?.commit(candidate);
    }
    this.done++;
    return result;
  }

  /**
   * Rough heatmap: measures candidates on the first slice.
   * @param slices more slices if all texts are measured
   */
  private async measureRough(
    measurements: RoundMeasurements,
    { scorer: { candidatesPerPass } }: RoundInput,
    candidates: readonly Candidate[],
    slices = 1,
  ): Promise<void> {
    for (let start = 0; start < candidates.length; start += candidatesPerPass) {
      const group = candidates.slice(start, start + candidatesPerPass);
      const ahead = this.plan.isStreamed ? this.slices.slice(slices) : [];
      await measurements.measure(group, this.slices.slice(0, slices), ahead);
      for (const candidate of group) {
        this.surrogate?.learn(candidate, this.finals.get(candidate.id));
      }
      this.finals.clear();
    }
  }

  /**
   * Measures finalists first on the longest slice of the first sequence that nearly all will reach, so that shorter
   * slices reuse those states.
   */
  private async walkAhead(
    { scorer, step }: RoundInput,
    finalists: readonly Candidate[],
  ): Promise<void> {
    const longest = this.slices.findLast(
      ({ sequence, from, to }) => sequence === 0 && from > 0 && to <= finalistRows,
    );
    if (longest !== undefined) {
      const others = this.slices.slice(1).filter((slice) => slice !== longest);
      await scorer.terms(step, finalists, [longest], 'sampled', others);
    }
  }

  /**
   * Races candidates. If the outputs of the winner overflow, races the dropped candidates whose outputs didn't.
   * @param measured slices on which all are already measured
   * @returns true if a winner has a finite distance
   */
  private async race(
    input: RoundInput,
    measurements: RoundMeasurements,
    field: readonly Candidate[],
    measured = 1,
  ): Promise<boolean> {
    for (
      let open = field;
      open.length > 0;
      open = open.filter((candidate) => Number.isFinite(measurements.total(candidate)))
    ) {
      await this.narrow(measurements, open, measured);
      const best = bestCandidate(input, measurements);
      if (
        best !== undefined &&
        Number.isFinite(measurements.total(best)) &&
        (await measurements.confirm(best, this.confirmedSlices))
      ) {
        return true;
      }
    }
    return false;
  }

  /**
   * Measures candidates until one is left or all slices are done, and measures the last one on everything.
   * @param measured slices on which all are already measured
   */
  private async narrow(
    measurements: RoundMeasurements,
    field: readonly Candidate[],
    measured: number,
  ): Promise<void> {
    let left = field;
    for (let done = measured; done <= this.slices.length; done++) {
      if (done > measured) {
        await measurements.measure(
          left,
          this.slices.slice(done - 1, done),
          this.slices.slice(done),
        );
      }
      const leader = least(left, (candidate) => measurements.estimate(candidate).total);
      if (leader === undefined) {
        return;
      }
      left = left.filter((one) => one === leader || !this.isWorse(measurements, one, leader));
      if (left.length === 1) {
        await measurements.measure([leader], this.slices.slice(done));
        return;
      }
    }
  }

  /**
   * True if a candidate's total over all rows is not below the leader's by more than {@link indifference} with the required
   * confidence, by Student's t over blocks. The risk is divided by the number of slices (Bonferroni), and measured rows are exact (finite population
   * correction).
   */
  private isWorse(
    measurements: RoundMeasurements,
    candidate: Candidate,
    leader: Candidate,
  ): boolean {
    const { total, standardError, blocks, share } = measurements.difference(candidate, leader);
    if (Number.isNaN(total)) {
      // The leader is NaN only if all remaining candidates are.
      return Number.isNaN(measurements.estimate(candidate).total);
    }
    if (share === 1) {
      return total > 0;
    }
    if (blocks < minBlocks) {
      return false;
    }
    const risk = (1 - this.plan.settings.confidence) / this.slices.length;
    const allowed = this.isDivergence ? indifference * measurements.estimate(leader).total : 0;
    const error = studentQuantile(risk, blocks - 1) * standardError * Math.sqrt(1 - share);
    return total + allowed > error;
  }

  /** Surrogate predictions for removing each candidate next, by id. */
  private async predictions(
    step: string,
    candidates: readonly Candidate[],
  ): Promise<ReadonlyMap<string, Prediction>> {
    const { surrogate } = this;
    if (surrogate === undefined) {
      return new Map();
    }
    const { memo } = this.plan.setup;
    const known = memo.predicted(step);
    const distances = known ?? (await this.predict(surrogate, step, candidates));
    return new Map(
      candidates.map((candidate) => {
        const distance = distances.get(candidate.id) ?? Number.NaN;
        return [candidate.id, { distance, age: surrogate.age(candidate) }];
      }),
    );
  }

  private async predict(
    surrogate: Surrogate,
    step: string,
    candidates: readonly Candidate[],
  ): Promise<ReadonlyMap<string, number>> {
    const found = await surrogate.distances(candidates);
    const distances = candidates.map(({ id }, i) => ({
      candidate: id,
      distance: found[i] ?? Number.NaN,
    }));
    await this.plan.setup.memo.add([{ kind: 'prediction', step, distances }]);
    return new Map(distances.map(({ candidate, distance }) => [candidate, distance]));
  }
}

/** Number of candidates per round: with the lowest expected distances, and measured longest ago. */
const nearest = 20;
const longestAgo = 4;
/** Minimum age in rounds of a measurement before it is repeated: recent ones are predicted well. */
const minAge = 2;
/**
 * Number of rounds after which all candidates are considered, because predictions from old measurements are less
 * reliable.
 */
const lookEvery = 4;
/** Maximum number of finalists per round. */
const finalists = 8;

/**
 * Selects the candidates whose first rows are worth measuring.
 * @param round counted from 0
 * @param expected distances by id
 * @param age rounds since a candidate was measured
 */
function propose(
  candidates: readonly Candidate[],
  round: number,
  expected: ReadonlyMap<string, number>,
  age: (candidate: Candidate) => number,
): readonly Candidate[] {
  const aged = candidates.filter((candidate) => age(candidate) >= minAge);
  if (round % lookEvery === 0) {
    return aged;
  }
  const order = byDistance(candidates, expected);
  const others = order.slice(nearest).sort((a, b) => age(b) - age(a));
  const chosen = new Set([...order.slice(0, nearest), ...others.slice(0, longestAgo)]);
  return aged.filter((candidate) => chosen.has(candidate));
}

/** Selects the candidates to measure on more rows. */
function chooseFinalists(
  candidates: readonly Candidate[],
  expected: ReadonlyMap<string, number>,
): readonly Candidate[] {
  const chosen = new Set(byDistance(candidates, expected).slice(0, finalists));
  return candidates.filter((candidate) => chosen.has(candidate));
}

function byDistance(
  candidates: readonly Candidate[],
  distances: ReadonlyMap<string, number>,
): Candidate[] {
  return leastFirst(candidates, ({ id }) => distances.get(id) ?? Number.NaN);
}
