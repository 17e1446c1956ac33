import { checkpoint } from '../jobs/job';
import type { HiddenState } from '../runtime/tensors';
import type { Candidate } from './candidates';
import type { DenseStates, Scorer, ScorerSetup, SublayerObserver } from './scorer';
import { MetricReadout } from './metric-readout';

/**
 * The reference: runs the whole model, from the embedding on, for every candidate and sequence.
 * Shares no state between candidates, so that the faster search can be held against it.
 */
export class NaiveScorer implements Scorer {
  public readonly removed = new Set<number>();
  public readonly candidatesPerPass = 1;
  private readonly readout: MetricReadout;
  private dense: DenseStates = [];

  public constructor(private readonly setup: ScorerSetup) {
    this.readout = new MetricReadout(setup.executor, setup.metricName, setup.metric);
  }

  public async start(observe?: SublayerObserver): Promise<DenseStates> {
    const states: HiddenState[] = [];
    for (const ids of this.setup.sequences) {
      states.push(await this.run(ids, new Set(), observe));
    }
    this.startFrom(states);
    return states;
  }

  public startFrom(dense: DenseStates): void {
    this.dense = dense;
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
    const ids = this.setup.sequences[sequence] ?? new Int32Array();
    const final = await this.run(ids, skip);
    const [term = Number.NaN] = await this.readout.terms(
      ids,
      this.dense[sequence] ?? new Float32Array(),
      [final],
    );
    return term;
  }

  private async run(
    ids: Int32Array,
    skip: ReadonlySet<number>,
    observe?: SublayerObserver,
  ): Promise<HiddenState> {
    const { executor, cancellation, onWork } = this.setup;
    const pause = async (): Promise<void> => {
      onWork();
      await checkpoint(cancellation);
    };
    let state = await executor.embed(ids);
    for (const index of executor.model.summary.sublayers.keys()) {
      if (!skip.has(index)) {
        const [next = state] = await executor.run(index, [state], pause);
        observe?.(index, state, next);
        state = next;
      }
    }
    return state;
  }
}
