import { checkpoint } from '../jobs/job';
import type { ModelInput } from '../models/example';
import type { HiddenState } from '../runtime/tensors';
import type { Candidate } from './candidates';
import { meanRows, sequenceOf } from './scorer';
import type { OriginalStates, Scorer, ScorerSetup, SublayerObserver } from './scorer';
import { createReadout } from '../metrics/metric-readout';
import type { MetricReadout } from '../metrics/metric-readout';

/**
 * The reference: runs the whole model, from the embedding on, for every candidate and sequence.
 * Shares no state between candidates, so that the faster search can be held against it.
 */
export class NaiveScorer implements Scorer {
  public readonly removed = new Set<number>();
  public readonly candidatesPerPass = 1;
  private readonly readout: MetricReadout;
  private original: OriginalStates = [];

  public constructor(private readonly setup: ScorerSetup) {
    this.readout = createReadout(setup.executor, setup.metricName, setup.metric);
  }

  public async start(observe?: SublayerObserver): Promise<OriginalStates> {
    const states: HiddenState[] = [];
    for (const input of this.setup.sequences) {
      states.push(await this.run(input, new Set(), observe));
    }
    this.startFrom(states);
    return states;
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
    const { memo } = this.setup;
    const results: number[][] = [];
    for (const candidate of candidates) {
      const skip = new Set([...this.removed, ...candidate.members]);
      const terms: number[] = [];
      for (const sequence of sequences) {
        const known = memo.get(step, candidate.id, sequence);
        const term = known ?? (await this.term(sequence, skip));
        if (known === undefined) {
          await memo.add([{ step, candidate: candidate.id, sequence, term }]);
        }
        terms.push(term);
      }
      results.push(terms);
    }
    return results;
  }

  public commit(candidate: Candidate): void {
    for (const member of candidate.members) {
      this.removed.add(member);
    }
  }

  private async term(sequence: number, skip: ReadonlySet<number>): Promise<number> {
    const input = sequenceOf(this.setup, sequence);
    const final = await this.run(input, skip);
    const original = this.original[sequence];
    const [term = Number.NaN] = original ? await this.readout.terms(input, original, [final]) : [];
    return term;
  }

  private async run(
    input: ModelInput,
    skip: ReadonlySet<number>,
    observe?: SublayerObserver,
  ): Promise<HiddenState> {
    const { executor, cancellation, onWork } = this.setup;
    const pause = async (): Promise<void> => {
      onWork();
      await checkpoint(cancellation);
    };
    let state = await executor.embed(input);
    for (const index of executor.model.summary.sublayers.keys()) {
      const [next = state] = await executor.pass(index, [state], skip, pause);
      if (!skip.has(index)) {
        observe?.(index, state, next);
      }
      state = next;
    }
    return state;
  }
}
